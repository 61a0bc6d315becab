from convexnn.bench.rival import Rival


class Solver(Rival):
    """The formula by hand in CVXPY, solved by SCS."""

    name = "raw-cvxpy-scs"
