"""What the package needs of the system: clock, memory, files, signals, compiled kernels."""
