from convexnn.bench.rival import Rival


class Solver(Rival):
    """torch's L-BFGS."""

    name = "torch"
