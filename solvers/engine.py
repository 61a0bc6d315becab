"""The table of engines: a name, the forms it takes, and the module that runs it on each.

Both are strings, so that reading the table loads neither: a form is recognised by its home, a
module loads when it is first asked for something. An engine for one more form is one file and
one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from math import inf
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from convexnn.contract.backend import Capabilities, Options, Raw, Reporter, common_form, home
from convexnn.contract.clock import Clock, OutOfTime, seconds_left, timed_by
from convexnn.contract.problem import Problem
from convexnn.contract.system.memory import Size
from convexnn.contract.system.processes import mpi_missing

WARMED = 0.5  # share of the time, where it is limited, for compiling before a run
LAUNCHER = "convexnn.solvers.mpi"  # what stands between an engine and several processes


class Run(Protocol):
    """What every row's module has as `run`."""

    def __call__(
        self, form: Any, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
    ) -> Raw:
        """Solve; report points on the way.

        Parameters
        ----------
        form : NamedTuple
            Of the row's form.
        own : dict
            The engine's own options: every key of its `DEFAULTS`, and no other.
        options : Options
        reporter : Reporter
        start : tuple of a primal and a dual point (or None), or None
        """
        ...


class Method(NamedTuple):
    """What a row's module offers, by these names: `run`, and of the others those it needs.

    Attributes
    ----------
    run : Run
    warm_up : callable
        Takes a form; compiles the kernels that it will need.
    refusal : callable or None
        Takes a form; returns None, or why it cannot be taken.
    memory : callable or None
        Takes a `Size`; returns the bytes of each large allocation by its use.
    DEFAULTS : mapping
        The engine's own options and their defaults.
    """

    run: Run
    warm_up: Callable[[Any], None] = lambda form: None
    refusal: Callable[[Any], str | None] | None = None
    memory: Callable[[Size], dict[str, float]] | None = None
    DEFAULTS: Mapping[str, Any] = MappingProxyType({})


@cache
def loaded(module: str) -> Method:
    """Return what a row's module offers.

    Examples
    --------
    >>> loaded("convexnn.solvers.relu.admm").DEFAULTS["relax"]
    1.6
    """
    offered = vars(import_module(module))
    return Method(**{name: offered[name] for name in Method._fields if name in offered})


class Engine:
    """A backend made of rows.

    Parameters
    ----------
    name : str
    rows : mapping of str to str
        The module that runs each form, by the form's `home`; the preferred form first.
    **can
        Of `Capabilities`.

    Examples
    --------
    >>> Engine("mine", {"convexnn.relu.forms:GroupForm": "convexnn.solvers.relu.admm"}).name
    'mine'
    """

    def __init__(self, name: str, rows: Mapping[str, str], **can: Any) -> None:
        self.name, self.rows = name, rows
        self.capabilities = Capabilities(tuple(rows), **can)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def method(self, form: type) -> Method:
        """Return what runs a form."""
        return loaded(self.rows[home(form)])

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return what the module of the problem's form says of it."""
        form = common_form(self, problem)
        assert form is not None
        refusal = self.method(form).refusal
        return None if refusal is None else refusal(problem.canonical(form))

    def prepare(self, form: Any) -> None:
        """Compile the kernels, those that half of the time is enough for; the run does the others.

        So a run whose time compiling takes has shown what needs few of them.
        """
        with suppress(OutOfTime), timed_by(Clock.started(WARMED * seconds_left())):
            self.method(type(form)).warm_up(form)

    def memory(self, size: Size) -> dict[str, float] | None:
        """Return what the form's module estimates, None if it does not."""
        memory = self.method(size.form).memory
        return None if memory is None else memory(size)

    def options(self, form: type | None = None) -> dict[str, tuple[Any, ...]]:
        """Return its own options with their defaults, which may differ by form."""
        rows = [form] if form is not None else [resolve_name(name) for name in self.rows]
        found: dict[str, tuple[Any, ...]] = {}
        for row in rows:
            for name, value in self.method(row).DEFAULTS.items():
                held = found.get(name, ())
                found[name] = held if value in held else (*held, value)
        return found

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Read the engine's own options, and solve."""
        method = self.method(type(form))
        own = unpack(self.name, options.extra, method.DEFAULTS)
        return method.run(form, own, options, reporter, start)


class Spread(Engine):
    """An engine in several processes. A row's module is one that can be spread: see `mpi.py`."""

    def method(self, form: type) -> Method:
        """Return what starts the processes that run a form."""
        spread: Callable[[str], Method] = import_module(LAUNCHER).spread
        return spread(self.rows[home(form)])

    def available(self) -> str | None:
        """Return what is missing of mpi4py and mpiexec."""
        return mpi_missing()


def unpack(engine: str, given: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults overridden by what is given.

    Raises
    ------
    ValueError
        If an option is unknown; the message lists those that exist.

    Examples
    --------
    >>> unpack("admm", {"rho": 2.0}, {"rho": None, "relax": 1.6})
    {'rho': 2.0, 'relax': 1.6}
    """
    unknown = [name for name in given if name not in defaults]
    if unknown:
        known = ", ".join(defaults) or "none"
        raise ValueError(f"{engine} has no option {unknown[0]!r}; it has: {known}")
    return {**defaults, **given}


def engine(
    name: str, about: str, rows: dict[str, str], kind: type[Engine] = Engine, **can: Any
) -> Engine:
    """Return an engine of this package, whose forms are below `convexnn`, modules beside this.

    What it is about are the problems that it is for, a colon, and what there is to its method.
    """
    own = {f"convexnn.{form}": f"convexnn.solvers.{module}" for form, module in rows.items()}
    return kind(name, own, about=about, **can)


TABLE = (
    engine(
        "admm",
        "networks over given patterns, robust networks, Wasserstein fits of order 1, medians "
        "and lassos over a graph: "
        "splitting, many examples to moderate accuracy",
        {
            "relu.forms:GroupForm": "relu.admm",
            "relu.forms:PooledForm": "relu.admm",
            "relu.forms:MajorantForm": "relu.majorant_admm",
            "robust.forms:RobustForm": "robust.admm",
            "wasserstein.forms:WassersteinForm": "wasserstein.admm",
            "median.consensus:ConsensusForm": "median.admm",
            "median.network_lasso:LassoForm": "median.lasso_admm",
        },
        warm_start=True,
        best_tol=1e-10,
    ),
    engine(
        "cell-walk",
        "ReLU networks over all patterns: "
        "local search, convex solves and pricing, with a global bound",
        {
            "relu.forms:NetworkForm": "relu.cell_walk",
            "relu.forms:PooledNetworkForm": "relu.cell_walk",
        },
        warm_start=True,
    ),
    engine(
        "convex-concave",
        "ReLU and robust networks over all patterns: "
        "majorants, made anew at the network's own patterns",
        {
            "relu.forms:NetworkForm": "relu.convex_concave",
            "robust.forms:RobustNetworkForm": "robust.touching",
        },
        warm_start=True,
        best_tol=inf,
    ),
    engine(
        "exact",
        "worst weights in KL, chi-square, CVaR and total variation balls: a sort and a root",
        {
            "wasserstein.weight_balls:Entropy": "wasserstein.exact",
            "wasserstein.weight_balls:EntropyPenalty": "wasserstein.exact",
            "wasserstein.weight_balls:ChiSquared": "wasserstein.exact",
            "wasserstein.weight_balls:Tail": "wasserstein.exact",
            "wasserstein.weight_balls:Variation": "wasserstein.exact",
        },
        callback=False,
        best_tol=1e-14,
    ),
    engine(
        "extra",
        "medians over a graph: EXTRA, to compare with; admm needs fewer rounds",
        {"median.consensus:ConsensusForm": "median.extra"},
        warm_start=True,
        best_tol=1e-6,
    ),
    engine(
        "fista",
        "networks over given patterns: "
        "accelerated proximal gradient, the largest data, float32 and GPUs",
        {"relu.forms:GroupForm": "relu.fista", "relu.forms:PooledForm": "relu.fista"},
        warm_start=True,
    ),
    engine(
        "greedy",
        "worst cases of margins and weights in Wasserstein balls: exact, in O(N log N)",
        {"wasserstein.transport:Transport": "wasserstein.greedy"},
        callback=False,
        best_tol=1e-14,
    ),
    engine(
        "homotopy",
        "medians over a graph, and terms under linear equations: primal-dual smoothing",
        {
            "median.consensus:ConsensusForm": "median.homotopy",
            "median.linear_sum:LinearSum": "median.linear_homotopy",
        },
        warm_start=True,
    ),
    engine(
        "ipm",
        "networks without convolutions and robust networks, over given patterns: "
        "interior point, few weights to high accuracy",
        {"relu.forms:GroupForm": "relu.ipm", "robust.forms:RobustForm": "robust.ipm"},
        best_tol=1e-8,
    ),
    engine(
        "lbfgs",
        "ReLU networks over all patterns: local search alone, graded like any other",
        {"relu.forms:NetworkForm": "relu.lbfgs", "relu.forms:PooledNetworkForm": "relu.lbfgs"},
        warm_start=True,
        best_tol=inf,
    ),
    engine(
        "mpi:admm",
        "medians and lassos over a graph: admm in several processes",
        {
            "median.consensus:ConsensusForm": "median.admm",
            "median.network_lasso:LassoForm": "median.lasso_admm",
        },
        Spread,
        warm_start=True,
    ),
    engine(
        "mpi:extra",
        "medians over a graph: extra in several processes",
        {"median.consensus:ConsensusForm": "median.extra"},
        Spread,
        warm_start=True,
    ),
    engine(
        "mpi:fista",
        "networks without convolutions over given patterns: fista in several processes",
        {"relu.forms:GroupForm": "relu.sharded_fista"},
        Spread,
        warm_start=True,
    ),
    engine(
        "mpi:homotopy",
        "medians over a graph: homotopy in several processes",
        {"median.consensus:ConsensusForm": "median.homotopy"},
        Spread,
        warm_start=True,
    ),
    engine(
        "mpi:pg-extra",
        "medians over a graph: pg-extra in several processes",
        {"median.consensus:ConsensusForm": "median.pg_extra"},
        Spread,
        warm_start=True,
    ),
    engine(
        "mpi:subgradient",
        "medians over a graph: subgradient in several processes",
        {"median.consensus:ConsensusForm": "median.subgradient"},
        Spread,
        warm_start=True,
    ),
    engine(
        "newton",
        "geometric medians, Wasserstein fits and portfolios: "
        "second order, high accuracy in few iterations",
        {
            "wasserstein.forms:WassersteinForm": "wasserstein.newton",
            "wasserstein.portfolio:PortfolioForm": "wasserstein.portfolio_newton",
            "median.forms:MedianForm": "median.newton",
        },
        warm_start=True,
        best_tol=1e-10,
    ),
    engine(
        "pg-extra",
        "medians over a graph: "
        "proximal EXTRA, whose rounds cost least of many agents with few coordinates",
        {"median.consensus:ConsensusForm": "median.pg_extra"},
        warm_start=True,
    ),
    engine(
        "quantile",
        "newsvendors: exact, from the sorted demands",
        {"wasserstein.newsvendor:DemandForm": "wasserstein.quantile"},
        best_tol=0.0,
    ),
    engine(
        "sampled-newton",
        "gated networks and features of many examples, smooth losses: "
        "Newton steps whose curvature is that of a sample",
        {"relu.forms:GroupForm": "relu.sampled_newton"},
        warm_start=True,
    ),
    engine(
        "semismooth",
        "networks without convolutions over given patterns, smooth losses: "
        "semismooth Newton, high accuracy",
        {"relu.forms:GroupForm": "relu.semismooth"},
        warm_start=True,
    ),
    engine(
        "subgradient",
        "medians over a graph: a baseline whose error stays near 1e-3",
        {"median.consensus:ConsensusForm": "median.subgradient"},
        warm_start=True,
        best_tol=1e-3,
    ),
)


def engines() -> tuple[Engine, ...]:
    """Return the table.

    Examples
    --------
    >>> [engine.name for engine in engines()][:3]
    ['admm', 'cell-walk', 'convex-concave']
    """
    return TABLE
