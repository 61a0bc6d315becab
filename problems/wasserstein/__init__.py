"""Linear models, margins, weights and decisions against balls of distributions."""
