from convexnn.bench.rival import Rival


class Solver(Rival):
    """geom_median: Weiszfeld's iteration in NumPy and in torch."""

    name = "geom_median"
    parameters = {"variant": ["--backend numpy", "--backend torch"]}  # noqa: RUF012  # benchopt reads it from the class
    parameter_template = "{variant}"
