"""Engines, one method a file. Imported as ``convexnn.solvers``."""

if __name__ != "convexnn.solvers":
    raise ImportError(
        "import this folder as convexnn.solvers (install the project with pip first); "
        f"as {__name__!r} it would make a second copy of every class"
    )
