from convexnn.bench.rival import Rival


class Solver(Rival):
    """Adam on the network's own weights."""

    name = "torch"
