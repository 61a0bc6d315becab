from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Gaussian rows, a linear teacher's targets, a tenth of them spoilt."""

    name = "linear"
    family = "wasserstein"
    parameters = {"case": names("wasserstein", "linear")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
