"""Benchmarks: sweeps over families of problems, their peers, and the reports (extra: bench)."""
