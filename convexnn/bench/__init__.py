"""Benchmarks: sweeps over every family's problems, and the competitors they are held against."""
