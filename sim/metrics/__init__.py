"""What broke, as numbers: pure functions of the results of many worlds."""
