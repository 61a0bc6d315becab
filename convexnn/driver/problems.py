"""The problems among the public names."""

import convexnn
from convexnn.contract.system.lazy import homes

# By the name of each, the module in which it lives.
PROBLEMS = {
    name: home
    for name, home in homes(str(convexnn.__file__)).items()
    if home.startswith("convexnn.problems.")
}
