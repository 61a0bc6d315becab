"""Losses, norms, terms and curves: the functions that problems are made of."""
