"""Pages of the site that the code tells itself: public names, engines, what "auto" takes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import convexnn
from convexnn import forms
from convexnn.contract.backend import registry
from convexnn.contract.certificate import Status
from convexnn.contract.system.lazy import homes
from convexnn.driver.problems import PROBLEMS
from convexnn.functions import terms
from convexnn.relu import preference
from convexnn.robust.forms import RobustForm
from convexnn.solvers.engine import LAUNCHER, Engine, Spread

HEADINGS = {
    "problems.relu": "Problems: networks",
    "problems.robust": "Problems: networks against an adversary",
    "problems.wasserstein": "Problems: balls of distributions",
    "problems.median": "Problems: medians and graphs",
    "driver": "Solving",
    "contract": "Answers, engines and errors",
    "workflows": "Many solves",
    "estimators": "Estimators of scikit-learn",
    "relu": "Networks and patterns",
    "robust": "Judging networks in balls",
    "wasserstein": "Linear models and worst cases",
    "functions": "Functions",
}


def sections() -> dict[str, list[str]]:
    """Return the public names by heading; a name whose home is under none of them is an error."""
    found: dict[str, list[str]] = {heading: [] for heading in HEADINGS.values()}
    for name, home in homes(convexnn.__file__).items():
        inside = home.removeprefix("convexnn.")
        room = next(room for room in HEADINGS if f"{inside}.".startswith(f"{room}."))
        found[HEADINGS[room]].append(f"convexnn.{name}")
    found["Terms"] = [
        f"convexnn.terms.{name}"
        for name, value in vars(terms).items()
        if inspect.isclass(value) and value.__module__ == terms.__name__ and name[0] != "_"
    ]
    found["Forms and points"] = [f"convexnn.forms.{name}" for name in dir(forms)]
    return found


def reference() -> str:
    """Return the page of public names, each with a page of its own."""
    parts = ["API\n===\n"]
    for heading, names in sections().items():
        listed = "\n".join(f"   {name}" for name in sorted(names))
        parts.append(
            f"{heading}\n{'-' * len(heading)}\n\n.. autosummary::\n   :toctree: names\n\n{listed}\n"
        )
    return "\n".join([*parts, torch()])


def torch() -> str:
    """Return what `convexnn.torch` offers, read from its source: the site needs no PyTorch."""
    package = Path(convexnn.__file__).parent
    rows: list[tuple[str, str]] = []
    for name, home in homes(str(package / "torch" / "__init__.py")).items():
        source = package.joinpath(*home.split(".")[1:]).with_suffix(".py").read_text()
        code = next(x for x in ast.parse(source).body if getattr(x, "name", "") == name)
        assert isinstance(code, ast.ClassDef | ast.FunctionDef)
        about = (ast.get_docstring(code) or "").partition("\n\n")[0].replace("\n", " ")
        rows.append((f"``convexnn.torch.{name}``", about))
    return "PyTorch\n-------\n\n" + table(("name", "what it is"), rows)


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: wide", ""]
    for row in (heads, *rows):
        lines += [f"   {'* -' if k == 0 else '  -'} {cell}" for k, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def engines() -> str:
    """Return the table of every engine that is installed, and what it is for."""
    rows = [
        (f"``{name}``", engine.capabilities.about or "\\-") for name, engine in registry().items()
    ]
    return table(("engine", "for what, and how"), rows)


def options() -> str:
    """Return the table of the engines' own options, told by the docstrings of their modules."""
    told: dict[tuple[str, ...], list[str]] = {}
    for name, engine in registry().items():
        if not isinstance(engine, Engine):
            continue
        for form, module in engine.rows.items():
            held = engine.method(resolve_name(form)).DEFAULTS
            meaning = documented(import_module(module))
            if isinstance(engine, Spread):
                meaning |= documented(import_module(LAUNCHER))
            for option, default in held.items():
                together, says = meaning[option]
                row = f"``{name}``", together, f"``{default}``", says
                told.setdefault(row, []).append(form.partition(":")[2])
    rows = [
        (*row[:3], ", ".join(f"``{form}``" for form in forms), row[3])
        for row, forms in told.items()
    ]
    return table(("engine", "option", "default", "of the form", "what it does"), rows)


def documented(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Return the options that a module's functions document: those told together, what is said."""
    found: dict[str, tuple[str, str]] = {}
    for _, function in inspect.getmembers(module, callable):
        if getattr(function, "__module__", "") != module.__name__:
            continue
        section = (inspect.getdoc(function) or "").partition("\nOptions\n-------\n")[2]
        for entry in re.split(r"\n(?=\S)", section.partition("\n\n")[0]):
            head, *says = entry.splitlines() or [""]
            names = head.partition(" : ")[0].split(", ")
            together = ", ".join(f"``{name}``" for name in names)
            found |= dict.fromkeys(names, (together, " ".join(line.strip() for line in says)))
    return found


def offered() -> str:
    """Return the table of the forms that each problem can be written in."""
    kinds = (getattr(convexnn, name) for name in sorted(PROBLEMS))
    rows = [
        (f"``{kind.__name__}``", ", ".join(f"``{form.__name__}``" for form in kind.FORMS))
        for kind in kinds
    ]
    return table(("problem", "forms"), rows)


def experiments() -> str:
    """Return the table of the long experiments, by the first lines of their docstrings."""
    rows: list[tuple[str, ...]] = []
    for file in sorted((Path(__file__).parent / "examples").glob("*.py")):
        code = ast.parse(file.read_text())
        if any(getattr(part, "name", "") == "main" for part in code.body):
            about = (ast.get_docstring(code) or "").partition("\n")[0]
            rows.append((f"``docs/examples/{file.name}``", about))
    return table(("script", "what it asks"), rows)


def statuses() -> str:
    """Return the table of the ways in which a solve ends, each with its advice."""
    return table(("status", "what it says"), [(f"``{s.name}``", s.value) for s in Status])


def said(thing: Any) -> str:
    """Return what the docstring of a rule says, its sections on parameters left out."""
    told = (inspect.getdoc(thing) or "").partition("\nParameters\n")[0].removeprefix("Return ")
    return f"{told[:1].upper()}{told[1:]}\n"


def rules() -> str:
    """Return what "auto" takes, as the functions that choose document it."""
    parts = {
        "Programs over given patterns, gates or features": preference.grouped,
        "Convolutions over listed patterns": preference.pooled,
        "Over all patterns": preference.searching,
        "Against an adversary, over given patterns": RobustForm.suited,
    }
    return "\n".join(f".. rubric:: {title}\n\n{said(rule)}" for title, rule in parts.items())


def write(folder: Path) -> None:
    """Write the generated pages, those that changed."""
    pages = {
        "api.rst": reference(),
        "engines.txt": engines(),
        "options.txt": options(),
        "experiments.txt": experiments(),
        "forms.txt": offered(),
        "rules.txt": rules(),
        "statuses.txt": statuses(),
    }
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
