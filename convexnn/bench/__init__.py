"""Benchmarks: what a sweep measured, in tables, figures and a report (extra: bench)."""
