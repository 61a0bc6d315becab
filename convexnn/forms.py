"""Every canonical form and point, from its home."""

from convexnn.contract.program import CvxpyProgram as CvxpyProgram
from convexnn.relu.forms import *  # noqa: F403
