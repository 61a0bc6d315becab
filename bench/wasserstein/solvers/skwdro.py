from convexnn.bench.rival import Rival


class Solver(Rival):
    """skwdro: its own program."""

    name = "skwdro"
