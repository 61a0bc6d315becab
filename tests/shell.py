"""The command line as its tests call it: in a process of its own, warnings of ours as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def convexnn(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``convexnn`` with these words; figures need no display."""
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "convexnn", *map(str, words)],
        cwd=cwd,
        env=os.environ | {"MPLBACKEND": "Agg"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
