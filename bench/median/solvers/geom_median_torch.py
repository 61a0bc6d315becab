from convexnn.bench.rival import Rival


class Solver(Rival):
    """geom_median: Weiszfeld's iteration in torch."""

    name = "geom_median-torch"
