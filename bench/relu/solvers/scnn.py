from convexnn.bench.rival import Rival


class Solver(Rival):
    """scnn: AL method for cones, R-FISTA for gates."""

    name = "scnn"
