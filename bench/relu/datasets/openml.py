from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Tables of OpenML, by name; they need a network or scikit-learn's cache."""

    name = "openml"
    family = "relu"
    parameters = {"case": names("relu", "openml")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
