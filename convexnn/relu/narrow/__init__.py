"""Deep, narrow networks of one input, and the features that they are sums of."""
