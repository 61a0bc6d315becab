from convexnn.bench.rival import Rival


class Solver(Rival):
    """torch's L-BFGS and Adam."""

    name = "torch"
    parameters = {"variant": ["--method lbfgs", "--method adam"]}  # noqa: RUF012  # benchopt reads it from the class
    parameter_template = "{variant}"
