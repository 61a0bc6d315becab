"""Declarative builders, one problem family a file. Imported as ``convexnn.problems``."""

if __name__ != "convexnn.problems":
    raise ImportError(
        "import this folder as convexnn.problems (install the project with pip first); "
        f"as {__name__!r} it would make a second copy of every class"
    )
