"""From a declared problem to a graded answer: choose, compile, run, keep, save, compare."""
