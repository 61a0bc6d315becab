from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Points of a stretched cloud, a fifth of them far off."""

    name = "cloud"
    family = "median"
    parameters = {"case": names("median", "cloud")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
