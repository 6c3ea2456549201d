"""Entry points: studies, ensembles, recording and reports."""
