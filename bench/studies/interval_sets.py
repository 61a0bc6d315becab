"""Measure how far the interval closes at the beta that cross-validation chooses.

``python bench/studies/interval_sets.py [--data DIR] [--seconds S] [--sets a,b]`` chooses beta for a
set by three folds of `cx.path`, solves over all patterns by cell-walk for so many processor
seconds, and keeps the network's value, the bound, and what it rests on; with ``--shares a,b`` at
these multiples of the chosen beta as well. A row is kept as it comes, and what the newest table
has is not run again. ``python bench/studies/interval_sets.py table`` prints what is kept. See
bench/studies/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table, kept_rows
from sklearn import datasets
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array

ROWS = 500
REAL = 12  # different targets from which on they are numbers and no classes
PATTERNS, COUNT, RATIO, FOLDS, TOL = 50, 13, 1e-3, 3, 1e-4  # of the path that chooses beta
STARTS = 2  # of the local search
PATIENCE = 20.0  # times the processor seconds: the time limit, as the machine may be shared
DATA = "CONVEXNN_BENCH_DATA"
BUNDLED = ("iris", "wine", "diabetes")
FILES = (
    *("yacht", "servo", "auto_mpg", "bodyfat", "automobile_price", "uci_fertility"),
    *("uci_vertebral_column_2clases", "uci_ecoli", "uci_seeds", "uci_glass", "uci_planning"),
    *("uci_breast_cancer", "uci_heart_hungarian", "breast_cancer_wisconsin"),
    *("uci_ilpd_indian_liver", "uci_monks_1", "uci_monks_2", "uci_balance_scale"),
    *("uci_parkinsons", "uci_spect", "uci_congressional_voting", "uci_horse_colic"),
    *("uci_breast_cancer_wisc_prog", "ionosphere", "uci_dermatology", "uci_spectf", "sonar"),
)
COLUMNS = (
    *("set", "n", "d", "rank", "loss", "share", "beta", "of_beta_max"),
    *("objective", "bound", "gap", "proof", "cpu_s"),
)


def load(name: str, folder: Path | None) -> tuple[Array, Any, str]:
    """Return standardised columns, targets and a loss, of at most `ROWS` rows, drawn with seed 0.

    Targets are standardised; of several classes the most frequent one is told from the others.
    """
    if name in BUNDLED:
        bunch = getattr(datasets, f"load_{name}")()
        X, y = np.asarray(bunch.data, np.float64), np.asarray(bunch.target)
    elif folder is None:
        raise FileNotFoundError(f"{name}: give --data DIR or set {DATA}")
    else:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            X, y = file["X"].astype(np.float64), file["y"]
    known = np.flatnonzero(~np.isnan(y.astype(np.float64)))
    kept = np.sort(np.random.default_rng(0).permutation(known)[:ROWS])
    X, y = SimpleImputer(strategy="median").fit_transform(X[kept]), y[kept]
    X = StandardScaler().fit_transform(X[:, np.ptp(X, axis=0) > 0.0])
    values, counts = np.unique(y, return_counts=True)
    if len(values) < REAL:
        return X, y == values[np.argmax(counts)], "logistic"
    return X, (y - y.mean()) / y.std(), "squared"


def training(data: tuple[Array, Any, str], beta: float, **options: Any) -> cx.ReluTraining:
    """Return the problem of a set."""
    X, y, loss = data
    return cx.ReluTraining(X, y, beta=beta, loss=loss, bias=True, **options)


def chosen(data: tuple[Array, Any, str]) -> tuple[float, float]:
    """Return the beta of least mean loss on what was held out, and the largest of the path."""
    problem = training(data, 1.0, patterns=PATTERNS)
    found = cx.path(problem, count=COUNT, ratio=RATIO, folds=FOLDS, tol=TOL)
    assert found.validation is not None
    return float(found.betas[np.nanargmin(found.validation.mean)]), float(found.betas[0])


def proof(problem: cx.ReluTraining, found: cx.Solution[Any]) -> str:
    """Return what the bound rests on: the lift, the moments of neurons, or a search of cells."""
    scope = found.certificate.scope
    if "lifted" in scope:
        cells = int(scope.split("lifted relaxation over ")[1].split()[0])
        return f"lift, {cells} cells"
    searched = problem.certify(found.primal, found.dual._replace(relaxed=None, lifted=None))
    return "search" if searched.bound >= found.bound - 1e-9 * abs(found.bound) else "moments"


def measure(table: Table, name: str, data: tuple[Array, Any, str], at: Any, seconds: float) -> None:
    """Add the row of a set at a beta."""
    share, beta, most = at
    begin = time.process_time()

    def late(step: Any) -> bool:
        return time.process_time() - begin > seconds

    problem = training(data, share * beta)
    found = cx.compile(problem, "cell-walk").run(
        time_limit=PATIENCE * seconds, callback=late, starts=STARTS
    )
    X, _, loss = data
    table.add(
        set=name,
        n=len(X),
        d=X.shape[1],
        rank=np.linalg.matrix_rank(np.column_stack([X, np.ones(len(X))])),
        loss=loss,
        share=f"{share:g}",
        beta=share * beta,
        of_beta_max=share * beta / most,
        objective=f"{found.objective:.6g}",
        bound=f"{found.bound:.6g}",
        gap=(found.objective - found.bound) / found.objective,
        proof=proof(problem, found),
        cpu_s=f"{time.process_time() - begin:.0f}",
    )


def show(path: Path) -> None:
    """Print the rows kept, the smallest gap first, and what the bounds rest on."""
    rows = sorted(kept_rows(path), key=lambda row: (row["share"] != "1", float(row["gap"])))
    print("| set | n | d | rank | beta | of beta_max | network | bound | gap, % | proof | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        name = row["set"] if row["share"] == "1" else f"{row['set']}, {row['share']} times"
        cells = [name, *(row[key] for key in ("n", "d", "rank", "beta", "of_beta_max"))]
        cells += [row["objective"], row["bound"], f"{100.0 * float(row['gap']):.2g}", row["proof"]]
        print(f"| {' | '.join([*cells, row['cpu_s']])} |")
    gaps = [float(row["gap"]) for row in rows if row["share"] == "1"]
    print(f"{sum(gap < 0.05 for gap in gaps)} of {len(gaps)} under 5 %")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("run", "table"), default="run")
    parser.add_argument("--data", default=os.environ.get(DATA))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sets", default="")
    parser.add_argument("--shares", default="1")
    asked = parser.parse_args()
    folder = None if asked.data is None else Path(asked.data)
    table = Table("interval-sets", COLUMNS, False)
    newest = max(table.path.parent.glob("relu-interval-sets-*.csv"), default=table.path)
    if asked.what == "table":
        show(newest)
        return
    done = set()
    for row in kept_rows(newest):
        table.add(**row)
        done.add((row["set"], row["share"]))
    shares = [float(share) for share in asked.shares.split(",")]
    with threadpool_limits(1):
        for name in asked.sets.split(",") if asked.sets else (*BUNDLED, *FILES):
            wanted = [share for share in shares if (name, f"{share:g}") not in done]
            if not wanted:
                continue
            try:
                data = load(name, folder)
            except OSError as error:
                print(f"skipped: {error}", file=sys.stderr)
                continue
            beta, most = chosen(data)
            for share in wanted:
                measure(table, name, data, (share, beta, most), asked.seconds)
    show(table.path)


if __name__ == "__main__":
    main()
