"""Are the estimators worth their while? Nested cross-validation against what people tune today.

``python bench/studies/estimators.py [--data DIR] [--sets a,b] [--methods a,b] [--redo a,b]`` trains
each method on four fifths of a set, choosing its parameters by cross-validation there, and scores
the other fifth; a row a set, method and fold is kept as it comes, and what the newest table has is
not run again. ``python bench/studies/estimators.py table`` prints the means, ranks and tests of
what is kept. See bench/studies/README.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import Table, kept_rows
from scipy.stats import rankdata, wilcoxon
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array

OUTER, INNER = 5, 3  # folds
ROWS = 500
FEWEST = 10  # rows of a class: a rarer one is left out
LIMIT_S = 600.0  # of one of our fits
DATA = "CONVEXNN_BENCH_DATA"
EQUAL = 1e-9  # scores that differ by less share a rank

BUNDLED = ("iris", "wine", "breast_cancer", "digits")
FILES = (
    *("uci_fertility", "uci_planning", "uci_parkinsons", "sonar", "uci_seeds", "uci_glass"),
    *("uci_spect", "uci_breast_cancer", "uci_heart_hungarian", "uci_vertebral_column_2clases"),
    *("uci_ecoli", "ionosphere", "uci_dermatology", "uci_monks_1", "uci_monks_2"),
    *("uci_ilpd_indian_liver", "uci_balance_scale", "uci_credit_approval"),
    *("breast_cancer_wisconsin", "uci_blood", "mammographic_masses", "uci_tic_tac_toe"),
    *("uci_statlog_german_credit", "uci_conn_bench_vowel_deterding", "uci_contrac"),
    *("uci_yeast", "uci_waveform", "uci_statlog_image", "spambase", "uci_magic"),
)
COLUMNS = (
    *("set", "n", "d", "classes", "method", "fold"),
    *("accuracy", "log_loss", "seconds", "chosen", "remark"),
)


class Fitted(NamedTuple):
    """What a method says of the examples that it is tried on.

    Attributes
    ----------
    labels : array of shape (n,)
    chances : array of shape (n, k)
    chosen : str
        The parameters that cross-validation chose.
    """

    labels: Any
    chances: Array
    chosen: str


def ours(activation: str) -> Callable[..., Fitted]:
    """Return the method of our estimator of this activation."""

    def fit(X: Array, y: Any, tried: Array) -> Fitted:
        model = cx.ReluClassifierCV(activation=activation, cv=folds(), time_limit=LIMIT_S)
        model.fit(X, y)
        share = model.alpha_ / model.alphas_[0]
        chosen = f"alpha {model.alpha_:.3g} ({share:.2g} of the first)"
        return Fitted(model.predict(tried), model.predict_proba(tried), chosen)

    return fit


def grid(make: Callable[[], Any], choices: Mapping[str, Sequence[Any]]) -> Callable[..., Fitted]:
    """Return the method that tries every combination on standardised columns."""

    def fit(X: Array, y: Any, tried: Array) -> Fitted:
        model = make_pipeline(StandardScaler(), make())
        name = model.steps[-1][0]
        named = {f"{name}__{key}": values for key, values in choices.items()}
        search = GridSearchCV(model, named, cv=folds()).fit(X, y)
        chances = search
        if not hasattr(search, "predict_proba"):
            best = search.best_estimator_
            chances = CalibratedClassifierCV(best, cv=folds(), ensemble=False).fit(X, y)
        chosen = " ".join(f"{k.split('__')[1]} {v}" for k, v in search.best_params_.items())
        return Fitted(search.predict(tried), chances.predict_proba(tried), chosen)

    return fit


METHODS: dict[str, Callable[..., Fitted]] = {
    "relu": ours("relu"),
    "gated": ours("gated"),
    "mlp": grid(
        lambda: MLPClassifier(max_iter=300, random_state=0),
        {
            "alpha": [1e-4, 1e-2, 1.0],
            "hidden_layer_sizes": [(20,), (100,)],
        },
    ),
    "svc": grid(SVC, {"C": [0.1, 1.0, 10.0, 100.0], "gamma": [1e-3, 1e-2, 1e-1, "scale"]}),
    "boosting": grid(
        lambda: HistGradientBoostingClassifier(random_state=0),
        {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [4, 31]},
    ),
    "logistic": grid(
        lambda: LogisticRegression(max_iter=2_000), {"C": list(np.geomspace(1e-4, 1e4, 10))}
    ),
}


def folds(count: int = INNER) -> StratifiedKFold:
    """Return the folds of a set, or of its training rows."""
    return StratifiedKFold(count, shuffle=True, random_state=0)


def load(name: str, folder: Path | None) -> tuple[Array, Any]:
    """Return columns and class codes of at most `ROWS` rows, drawn with seed 0."""
    if name in BUNDLED:
        bunch = getattr(datasets, f"load_{name}")()
        X, y = np.asarray(bunch.data, np.float64), np.asarray(bunch.target)
    elif folder is None:
        raise FileNotFoundError(f"{name}: give --data DIR or set {DATA}")
    elif (folder / f"{name}.csv").exists():
        lines = np.genfromtxt(folder / f"{name}.csv", delimiter=",", skip_header=1)
        X, y = lines[:, :-1], lines[:, -1]
    else:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            X, y = file["X"].astype(np.float64), file["y"]
    kept = np.sort(np.random.default_rng(0).permutation(len(y))[:ROWS])
    X, y = X[kept], y[kept]
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    often = counts[codes] >= FEWEST
    return X[often], np.unique(y[often], return_inverse=True)[1]


def cpu() -> float:
    """Return the processor seconds of this process and of those that it ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(table: Table, name: str, data: tuple[Array, Any], method: str, fold: int) -> None:
    """Add the row of a method on a fold."""
    X, y = data
    train, test = list(folds(OUTER).split(X, y))[fold]
    # the median of a column that has no entry is zero, and its column constant
    filled = SimpleImputer(strategy="median", keep_empty_features=True).fit(X[train])
    begin = cpu()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = METHODS[method](filled.transform(X[train]), y[train], filled.transform(X[test]))
    seconds = cpu() - begin
    late = [str(w.message) for w in caught if "time_limit" in str(w.message)]
    table.add(
        set=name,
        n=len(y),
        d=X.shape[1],
        classes=len(np.unique(y)),
        method=method,
        fold=fold,
        accuracy=f"{np.mean(found.labels == y[test]):.6f}",
        log_loss=f"{log_loss(y[test], found.chances, labels=np.unique(y)):.6f}",
        seconds=f"{seconds:.2f}",
        chosen=found.chosen,
        remark="; ".join(late),
    )


def warm_up(methods: Sequence[str]) -> None:
    """Compile our kernels, and load what the others load."""
    X, y = datasets.load_iris(return_X_y=True)
    for method in map(METHODS.__getitem__, methods):
        for kept in (y < 2, y < 3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                method(X[kept][::3], y[kept][::3], X)


def key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return what a row is of."""
    return str(row["set"]), str(row["method"]), int(row["fold"])


class Grid(NamedTuple):
    """Means over the folds, of the sets on which every method has all folds.

    Attributes
    ----------
    sets, methods : list of str
    accuracy, log_loss, seconds : array of shape (sets, methods)
    """

    sets: list[str]
    methods: list[str]
    accuracy: Array
    log_loss: Array
    seconds: Array


def means(rows: Sequence[Mapping[str, str]]) -> Grid:
    """Return the means over the folds."""
    by: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        by.setdefault((row["set"], row["method"]), []).append(row)
    methods = [method for method in METHODS if any(m == method for _, m in by)]
    names = [
        name
        for name in dict.fromkeys(row["set"] for row in rows)
        if all(len(by.get((name, method), [])) == OUTER for method in methods)
    ]

    def each(column: str) -> Array:
        return np.array(
            [[np.mean([float(r[column]) for r in by[s, m]]) for m in methods] for s in names]
        )

    return Grid(names, methods, each("accuracy"), each("log_loss"), each("seconds"))


def ranks(losses: Array) -> Array:
    """Return each method's mean rank, 1 the best; equal scores share theirs."""
    result: Array = np.mean(rankdata(np.round(losses / EQUAL), axis=1), axis=0)
    return result


def against(losses: Array, one: int, other: int) -> str:
    """Return wins, ties and losses of one method against another, and Wilcoxon's p."""
    gain = losses[:, other] - losses[:, one]
    gain[np.abs(gain) <= EQUAL] = 0.0
    chance = 1.0 if not gain.any() else float(wilcoxon(gain, zero_method="zsplit").pvalue)
    won, lost = int(np.sum(gain > 0.0)), int(np.sum(gain < 0.0))
    return f"{won} won, {len(gain) - won - lost} equal, {lost} lost, p = {chance:.2g}"


def show(path: Path) -> None:
    """Print the table of what is kept, in Markdown, a set a line beneath."""
    found = means(kept_rows(path))
    if not found.sets:
        raise SystemExit(f"{path.name}: no set has all folds of all methods")
    accuracy, log_losses = ranks(-found.accuracy), ranks(found.log_loss)
    print("| method | accuracy | rank | log-loss | rank | seconds a fit | median |")
    print("|---|---|---|---|---|---|---|")
    for j, method in enumerate(found.methods):
        print(
            f"| {method} | {found.accuracy[:, j].mean():.4f} | {accuracy[j]:.2f} "
            f"| {found.log_loss[:, j].mean():.4f} | {log_losses[j]:.2f} "
            f"| {found.seconds[:, j].mean():.1f} | {np.median(found.seconds[:, j]):.1f} |"
        )
    other = found.methods.index("mlp") if "mlp" in found.methods else None
    for j, method in enumerate(found.methods):
        if other is not None and j != other:
            print(
                f"\n{method} against mlp: accuracy {against(-found.accuracy, j, other)}; "
                f"log-loss {against(found.log_loss, j, other)}"
            )
    print(f"\n| set | {' | '.join(found.methods)} |")
    print("|---" * (len(found.methods) + 1) + "|")
    for name, row in zip(found.sets, found.accuracy, strict=True):
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |")


def main() -> None:
    """Run what is asked for and not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("run", "table"), default="run")
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA))
    parser.add_argument("--sets", default="")
    parser.add_argument("--methods", default="")
    parser.add_argument("--redo", default="", help="methods whose kept rows are run again")
    options = parser.parse_args()
    known = BUNDLED if options.data is None else FILES
    names = [name for name in options.sets.split(",") if name] or list(known)
    methods = [name for name in options.methods.split(",") if name] or list(METHODS)
    wrong = [
        name for name in (*methods, *filter(None, options.redo.split(","))) if name not in METHODS
    ]
    if wrong:
        parser.error(f"no such methods: {', '.join(wrong)}; there are {', '.join(METHODS)}")
    table = Table("nested", COLUMNS, False, "estimators")
    newest = max(table.path.parent.glob("estimators-nested-*.csv"), default=table.path)
    if options.what == "table":
        show(newest)
        return
    with threadpool_limits(limits=1):
        done = set()
        for row in kept_rows(newest):
            if row["method"] not in options.redo.split(","):
                table.add(**row)
                done.add(key(row))
        warm_up(methods)
        for name in names:
            wanted = [(m, f) for m in methods for f in range(OUTER) if (name, m, f) not in done]
            if not wanted:
                continue
            try:
                data = load(name, None if options.data is None else Path(options.data))
            except OSError as error:
                print(f"skipped: {error}", file=sys.stderr)
                continue
            for method, fold in wanted:
                measure(table, name, data, method, fold)
    show(table.path)


if __name__ == "__main__":
    main()
