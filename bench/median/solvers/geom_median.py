from convexnn.bench.rival import Rival


class Solver(Rival):
    """geom_median: Weiszfeld's iteration in NumPy."""

    name = "geom_median"
