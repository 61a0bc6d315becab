"""Training of ReLU networks against an adversary."""
