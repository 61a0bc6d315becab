from convexnn.bench.rival import Rival


class Solver(Rival):
    """adelie: group lassos over gates, lassos over drawn neurons."""

    name = "adelie"
