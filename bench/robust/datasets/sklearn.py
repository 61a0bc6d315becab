from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Tables of scikit-learn."""

    name = "sklearn"
    family = "robust"
    parameters = {"case": names("robust", "sklearn")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
