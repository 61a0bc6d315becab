"""Benchmarks and cross-checks: ``convexnn bench``."""
