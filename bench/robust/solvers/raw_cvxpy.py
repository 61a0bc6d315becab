from convexnn.bench.rival import Rival


class Solver(Rival):
    """The formula by hand in CVXPY, solved by Clarabel."""

    name = "raw-cvxpy"
