from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Terms under linear equations."""

    name = "constrained"
    family = "median"
    parameters = {"case": names("median", "constrained")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
