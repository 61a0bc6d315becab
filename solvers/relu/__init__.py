"""Engines of network training over patterns and over all patterns."""
