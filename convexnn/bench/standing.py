"""``python -m convexnn.bench.standing bench/results`` prints the README's table of ratios."""

import sys
from pathlib import Path

from convexnn.bench.report.standing import standing

if __name__ == "__main__":
    print(standing(Path(sys.argv[1])))
