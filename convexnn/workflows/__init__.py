"""What runs many solves: selection, paths, audits, games, aggregation."""
