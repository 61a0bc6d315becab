"""Balls of distributions and of weights: forms, bounds, worst cases."""
