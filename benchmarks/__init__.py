"""``python -m benchmarks``: autobatch beside its rivals, in one run."""
