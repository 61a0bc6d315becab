"""Networks against an adversary: forms, bounds, attacks, exact robustness."""
