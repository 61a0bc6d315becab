"""Engines of Wasserstein fits, of worst margins, weights and decisions."""
