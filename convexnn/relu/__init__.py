"""Two-layer and narrow networks: forms, bounds, patterns, pricing, models."""
