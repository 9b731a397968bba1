"""Benchmarks of this service and its competitors; run with `python -m benchmarks`."""
