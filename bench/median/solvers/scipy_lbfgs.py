from convexnn.bench.rival import Rival


class Solver(Rival):
    """SciPy's L-BFGS."""

    name = "scipy-lbfgs"
