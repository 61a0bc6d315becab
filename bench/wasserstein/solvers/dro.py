from convexnn.bench.rival import Rival


class Solver(Rival):
    """dro: its program, solved through CVXPY."""

    name = "dro"
