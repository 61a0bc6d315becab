"""Engines of robust training."""
