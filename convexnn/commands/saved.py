"""What is done with a saved solution: ``convexnn predict``, ``show`` and ``certify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Argument, Exit, Option

from convexnn.commands import options
from convexnn.commands.report import Output, finite
from convexnn.contract.checks import ProblemError
from convexnn.contract.preparation import Preparation
from convexnn.contract.system.files import to_json, write_npz
from convexnn.contract.system.optional import need
from convexnn.datasets.columns import Columns
from convexnn.datasets.files import read
from convexnn.datasets.reading import Reading
from convexnn.datasets.table import complete
from convexnn.driver.solution import Solution, load
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.forms import Dual
from convexnn.workflows.proof import proof as proof_of

Saved = Annotated[Path, Argument(help="a file that --save wrote", metavar="SOLUTION")]
Proof = Annotated[
    Path | None,
    Option(help="write what docs/check_bound.py needs to check the bound to this file (.npz)"),
]
Into = Annotated[Path | None, Option(help="write the predictions to this file, else to the screen")]


def predict(solution: Saved, data: options.Data, *, save: Into = None, **own: Any) -> None:
    """Write a saved model's predictions for data as CSV; columns are found by their names."""
    out = Output(False, save=save)
    found = load(solution)
    X = examples(data, prepared(found, solution), **own)
    output = np.asarray(found.model.predict(X))
    name = prepared(found, solution).target or "prediction"
    heads = [name] if output.ndim == 1 else [f"{name} {k}" for k in range(output.shape[1])]
    frame = need("pandas", "data").DataFrame(output, columns=heads)
    if save is None or out.put(lambda path: frame.to_csv(path, index=False), save) is None:
        frame.to_csv(sys.stdout, index=False)
    out.close()


def prepared(solution: Solution, path: Path) -> Preparation:
    """Return how the data of a solution were prepared.

    Raises
    ------
    ProblemError
        If its file does not say.
    """
    if solution.preparation is None:
        raise ProblemError(
            f"{path} does not say which columns its model takes: only solutions that "
            "convexnn solve, compare and path saved of a table do"
        )
    return solution.preparation


def examples(source: str, done: Preparation, **own: Any) -> Any:
    """Return the raw X of data in a file, of the columns that the model knows.

    Raises
    ------
    ProblemError
        If columns or values are missing, or hold what the model does not know.
    """
    _, raw = read(source, written(**own))
    columns = Columns(done.columns, {name: tuple(v) for name, v in done.values.items()})
    absent = [name for name in done.columns if name not in raw.frame]
    kept = raw.frame if absent else raw.frame[list(done.columns)]
    if not absent:
        kept, _, _ = complete(kept, None, raw.spelled, drop=False)
    return columns(kept)


def written(
    *,
    separator: options.Separator = None,
    header: options.Header = None,
    decimal: options.Decimal = None,
    missing: options.Missing = None,
) -> Reading:
    """Return how a file is written; its parameters are options of `predict`."""
    spelled = None if missing is None else tuple(options.listed(missing) or ())
    return Reading(separator=separator, header=header, decimal=decimal, missing=spelled)


def show(solution: Saved, json: options.Json = False) -> None:
    """Say what a saved solution is: problem, certificate, timings, columns and classes."""
    say(described(load(solution)), json)


def certify(solution: Saved, *, json: options.Json = False, proof: Proof = None) -> None:
    """Grade a saved solution anew; exit with 1 unless it meets the tolerance it was solved to."""
    out = Output(json, save=proof)
    found = load(solution)  # grades it, and refuses figures that are not its own
    if proof is not None:
        if not isinstance(found.problem, ReluTraining) or not isinstance(found.dual, Dual):
            raise ProblemError(
                "--proof is for ReluTraining over all patterns, "
                f"{solution} holds a {type(found.problem).__name__}"
            )
        arrays = proof_of(found.problem, found.dual)
        out.put(lambda path: write_npz(path, arrays), proof)
    tol = float(str(found.options["tol"]))
    holds = found.certificate.passes(tol)
    say({**graded(found), "tol": tol, "holds": holds}, json)
    if not holds or out.astray:
        raise Exit(1)


def graded(solution: Solution) -> dict[str, Any]:
    """Return the figures of a certificate and what its bound is of."""
    return {
        "objective": solution.objective,
        "bound": solution.bound,
        "gap": solution.gap,
        "violation": solution.violation,
        "scope": solution.certificate.scope,
    }


def described(solution: Solution) -> dict[str, Any]:
    """Return what there is to say of a solution, in plain types."""
    classes = getattr(solution.model, "classes", None)
    said: dict[str, Any] = {
        "problem": type(solution.problem).__name__,
        "model": repr(solution.model),
        "status": solution.status.name,
        "backend": solution.backend,
        **graded(solution),
        "timings": solution.timings,
        "classes": None if classes is None else classes.tolist(),
    }
    if solution.preparation is not None:
        done = solution.preparation
        said |= {"target": done.target, "columns": list(done.columns)}
        said |= {"features": list(done.features)}
    return said


def say(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts, one a line or as one object in JSON."""
    if as_json:
        print(to_json(finite(facts)))
        return
    for name, value in facts.items():
        print(f"{name}: {f'{value:.10g}' if isinstance(value, float) else value}")
