from convexnn.bench.rival import Rival


class Solver(Rival):
    """skwdro: its own program, and its smoothed and sampled problem."""

    name = "skwdro"
    parameters = {"variant": ["--method dedicated", "--method entropic"]}  # noqa: RUF012  # benchopt reads it from the class
    parameter_template = "{variant}"
