from convexnn.bench.rival import Rival


class Solver(Rival):
    """The formula by hand in CVXPY."""

    name = "raw-cvxpy"
    parameters = {"variant": ["--solver clarabel", "--solver scs"]}  # noqa: RUF012  # benchopt reads it from the class
    parameter_template = "{variant}"
