from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Tables X, y in the .npz files of the folder CONVEXNN_BENCH_DATA."""

    name = "folder"
    family = "wasserstein"
    parameters = {"case": names("wasserstein", "folder")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
