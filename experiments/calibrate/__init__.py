"""Models fitted to recorded markets: `python -m experiments.calibrate WHAT data=DIR`."""
