"""Benchmarks: sweeps over families of problems, their peers, reports, cross-checks."""
