"""How Sphinx builds the site: python -m sphinx -W docs OUT."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import listings  # noqa: E402

import convexnn  # noqa: E402

listings.write(HERE / "generated")

project = "convexnn"
author = copyright = "The convexnn developers"
version = release = convexnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["examples", "generated/*.txt"]
templates_path = ["templates"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_filename_map = {  # files of names that differ by their case alone
    f"convexnn.{name}": f"convexnn.{name}_function"
    for name in dir(convexnn)
    if name.islower() and name.title() in dir(convexnn)
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "code"

# The inventories of other projects come over the network: only with `-t online`.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
    if tags.has("online")  # type: ignore[name-defined]  # noqa: F821
    else {}
)

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "",  # all of them run
    # Beside the sections are long experiments.
    "ignore_pattern": "|".join(f"^{file.name}$" for file in (HERE / "examples").glob("*.py")),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "convexnn"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"


def formulas_as_they_stand(app, what, name, obj, options, lines):
    """Mark the indented formulas of a docstring's text as literal blocks, before its sections."""
    end = next((k for k, line in enumerate(lines) if line and set(line) == {"-"}), len(lines))
    inside = False
    for k in reversed(range(1, end)):
        inside = lines[k].startswith("    ") or (inside and not lines[k])
        if inside and not lines[k - 1]:
            above = next((line for line in reversed(lines[:k]) if line), "")
            if not above.startswith("    ") and not above.endswith("::"):
                lines[k:k] = ["::", ""]
                inside = False


def setup(app):
    """Have docstrings read so before numpydoc reads them."""
    app.connect("autodoc-process-docstring", formulas_as_they_stand, priority=400)
