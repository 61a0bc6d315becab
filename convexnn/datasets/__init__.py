"""Data as people bring them: read from files, made of numbers and targets, split in two."""

from __future__ import annotations

from convexnn.datasets.files import NAMES
from convexnn.datasets.reading import Reading
from convexnn.datasets.split import Split, load_data, split_at_random
from convexnn.datasets.table import Table, load_table

__all__ = ["NAMES", "Reading", "Split", "Table", "load_data", "load_table", "split_at_random"]
