"""Engines of medians, consensus, network lassos and sums of terms."""
