"""One YAML per part."""
