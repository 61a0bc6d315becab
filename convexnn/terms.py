"""Terms for `LinearlyConstrained` and `NetworkLasso`, from their home."""

from convexnn.functions.terms import *  # noqa: F403
