"""The entry point of the command line."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from convexnn.contract.system.optional import need


def main() -> None:
    """Run the command line; errors of the user print as one line and exit with 2."""
    from convexnn.contract.backend import BackendError
    from convexnn.contract.checks import ProblemError
    from convexnn.contract.system.interrupts import like_ctrl_c

    like_ctrl_c()
    for stream in (sys.stdout, sys.stderr):  # names that it cannot encode are shown by codes
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        need("typer", "cli")
        need("rich", "cli")
        from convexnn.commands.app import app

        app(prog_name="convexnn")
    except (ProblemError, BackendError, ImportError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
