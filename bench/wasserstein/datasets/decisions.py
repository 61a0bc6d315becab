from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Orders and portfolios from samples."""

    name = "decisions"
    family = "wasserstein"
    parameters = {"case": names("wasserstein", "decisions")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
