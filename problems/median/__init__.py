"""Geometric medians and sums of terms under equations."""
