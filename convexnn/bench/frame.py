"""Where scripts find `read`: the rows of a kept sweep as a data frame."""

from convexnn.bench.report.frame import read as read
