"""Sums of distances and of terms: forms, bounds, graphs."""
