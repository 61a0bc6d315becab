from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Gaussian margins, moved or reweighted by an adversary."""

    name = "margins"
    family = "wasserstein"
    parameters = {"case": names("wasserstein", "margins")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
