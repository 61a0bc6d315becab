from convexnn.bench.rival import Rival


class Solver(Rival):
    """skglm: group lassos over gates, lassos over drawn neurons."""

    name = "skglm"
