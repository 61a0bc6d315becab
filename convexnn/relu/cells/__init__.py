"""The cells that the hyperplanes of data cut space into: all of them, or drawn ones."""
