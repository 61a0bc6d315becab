from convexnn.bench.rival import Rival


class Solver(Rival):
    """skwdro: its smoothed and sampled problem."""

    name = "skwdro-entropic"
