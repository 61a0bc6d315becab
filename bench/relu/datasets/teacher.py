from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Gaussian rows, targets of a teacher network."""

    name = "teacher"
    family = "relu"
    parameters = {"case": names("relu", "teacher")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
