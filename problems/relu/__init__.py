"""Training of ReLU, gated, sampled, threshold, narrow and convolutional networks."""
