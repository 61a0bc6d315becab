from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Two moons."""

    name = "moons"
    family = "robust"
    parameters = {"case": names("robust", "moons")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
