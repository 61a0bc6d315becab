"""What a sweep solves: one file a family, and what they share."""
