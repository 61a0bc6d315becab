from convexnn.bench.base import Certified


class Objective(Certified):
    """Certified relative gap."""

    name = "convexnn robust"
