from convexnn.bench.base import Data
from convexnn.bench.cases.case import names


class Dataset(Data):
    """Agents on a graph, each with a point or a term."""

    name = "agents"
    family = "median"
    parameters = {"case": names("median", "agents")}  # noqa: RUF012  # as benchopt reads it
    parameter_template = "{case}"
