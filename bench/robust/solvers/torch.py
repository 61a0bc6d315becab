from convexnn.bench.rival import Rival


class Solver(Rival):
    """Adversarial training: projected gradient attacks inside Adam."""

    name = "torch"
