from convexnn.bench.rival import Rival


class Solver(Rival):
    """disropt: the distributed subgradient method."""

    name = "disropt"
