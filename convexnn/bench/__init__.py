"""Sweeps of backends and peers over families of problems (extra: bench)."""
