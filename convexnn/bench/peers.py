"""The competitors: what they solve, where their environments are, how one is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from convexnn.bench.processes import START_S, Answer, PeerError, answers
from convexnn.contract.checks import choice

SCRIPTS = Path(__file__).parents[2] / "bench" / "peers"
FOLDER = "CONVEXNN_BENCH_PEERS"  # environment variable: where environments are made
READY = "convexnn-peer.txt"  # in an environment that is complete; holds the package's version


class Peer(NamedTuple):
    """A competitor.

    Attributes
    ----------
    name : str
    families : tuple of str
        Of problems that it solves.
    package, distribution : str
        As it is imported, and as it is called on PyPI.
    requirements : tuple of str
        What pip installs into its environment.
    script : str or Path
        A file in ``bench/peers``, or the path of one's own.
    own : bool
        Whether it needs an environment of its own: the running one will not do.
    settings : tuple of str
        Arguments of its script that come first.
    shares : str
        The peer whose environment it runs in, if not its own.
    slow : bool
        Whether importing it, or compiling what it compiles anew in every process, takes from 10 s
        to a minute: a quick sweep leaves it out.
    """

    name: str
    families: tuple[str, ...]
    package: str
    distribution: str
    requirements: tuple[str, ...]
    script: str | Path
    own: bool = True
    settings: tuple[str, ...] = ()
    shares: str = ""
    slow: bool = False

    @property
    def base(self) -> str:
        """Return the name of its environment, that of a peer."""
        return self.shares or self.name

    @property
    def variable(self) -> str:
        """Return the environment variable that names its interpreter.

        Examples
        --------
        >>> PEERS["scipy-lbfgs"].variable
        'CONVEXNN_BENCH_SCIPY_LBFGS'
        """
        return "CONVEXNN_BENCH_" + self.base.upper().replace("-", "_")

    @property
    def path(self) -> Path:
        """Return the path of its script."""
        return SCRIPTS / self.script  # an absolute one stays as it is


EVERY = ("relu", "robust", "wasserstein", "median")


def _listed() -> Iterator[Peer]:
    geom_median = Peer(
        "geom_median",
        ("median",),
        "geom_median",
        "geom-median",
        ("geom-median==0.1.0", "numpy", "torch"),
        "run_geom_median.py",
    )
    raw = Peer("raw-cvxpy", EVERY, "cvxpy", "cvxpy", ("cvxpy",), "run_raw_cvxpy.py", own=False)
    skwdro = Peer(
        "skwdro",
        ("wasserstein",),
        "skwdro",
        "skwdro",
        ("skwdro==1.1.1",),
        "run_skwdro.py",
        slow=True,
    )
    yield Peer(
        "scnn",
        ("relu",),
        "scnn",
        "pyscnn",
        ("numpy<2", "pyscnn==0.0.10", "torch"),
        "run_scnn.py",
    )
    yield Peer(
        "adelie", ("relu",), "adelie", "adelie", ("numpy<2", "adelie==1.1.52"), "run_adelie.py"
    )
    yield Peer("skglm", ("relu",), "skglm", "skglm", ("skglm==0.5",), "run_skglm.py", slow=True)
    yield Peer("dro", ("wasserstein",), "dro", "dro", ("dro==0.4.3",), "run_dro.py", slow=True)
    yield skwdro
    entropic = ("--method", "entropic")
    yield skwdro._replace(name="skwdro-entropic", settings=entropic, shares="skwdro")
    yield geom_median
    tensors = ("--backend", "torch")
    yield geom_median._replace(name="geom_median-torch", settings=tensors, shares="geom_median")
    # it imports mpi4py, which needs an MPI library
    needs = ("disropt==0.1.9", "mpich")
    yield Peer("disropt", ("median",), "disropt", "disropt", needs, "run_disropt.py")
    yield raw
    yield raw._replace(name="raw-cvxpy-scs", settings=("--solver", "scs"), shares="raw-cvxpy")
    smooth = ("relu", "wasserstein", "median")
    script = "run_scipy_lbfgs.py"
    yield Peer("scipy-lbfgs", smooth, "scipy", "scipy", ("scipy",), script, own=False)
    trained = ("relu", "robust", "median")
    yield Peer("torch", trained, "torch", "torch", ("torch", "numpy"), "run_torch.py", own=False)


PEERS: dict[str, Peer] = {peer.name: peer for peer in _listed()}


def peer_of(name: str | Peer) -> Peer:
    """Return the peer of a name, or raise `ProblemError` that lists them."""
    return name if isinstance(name, Peer) else PEERS[choice("peer", name, list(PEERS))]


def home() -> Path:
    """Return the folder of the environments: as told by ``CONVEXNN_BENCH_PEERS``, or the user's."""
    told = os.environ.get(FOLDER)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(told) if told else cache / "convexnn" / "peers"


def find(name: str | Peer) -> Path:
    """Return the interpreter that runs a peer.

    The one that its `Peer.variable` names, that of the environment that `make` made, or the
    running one if the package is there and it needs no environment of its own.

    Raises
    ------
    PeerError
        Of kind "missing": there is none, or not its script.
    """
    peer = peer_of(name)
    if not peer.path.is_file():
        raise PeerError("missing", f"no script {peer.path}: run from a checkout of the project")
    told = os.environ.get(peer.variable)
    if told:
        if shutil.which(told) is None:
            raise PeerError("missing", f"{peer.variable} names no program: {told}")
        return Path(told)
    folder = home() / peer.base
    if (folder / READY).is_file() and python_in(folder).exists():
        return python_in(folder)
    if not peer.own and find_spec(peer.package) is not None:
        return Path(sys.executable)
    raise PeerError("missing", f"not installed: run 'convexnn bench peers {peer.base}'")


def missing(names: Iterable[str | Peer]) -> dict[str, str]:
    """Return the reason for each peer that cannot be run."""
    reasons: dict[str, str] = {}
    for peer in map(peer_of, names):
        try:
            find(peer)
        except PeerError as error:
            reasons[peer.name] = str(error)
    return reasons


def follow(
    name: str | Peer,
    task: Mapping[str, Any],
    settings: Sequence[str] = (),
    time_limit: float = 60.0,
    *,
    start_limit: float = START_S,
) -> Iterator[Answer]:
    """Run a peer and yield the points that it delivers, of increasing effort; see `answers`.

    Raises
    ------
    PeerError
        If it cannot be run; after the points that it delivered if it crashed or ran out of time.
    """
    peer = peer_of(name)
    given = (*peer.settings, *settings)
    yield from answers(find(peer), peer.path, task, given, time_limit, start_limit=start_limit)


def run(
    name: str | Peer,
    task: Mapping[str, Any],
    settings: Sequence[str] = (),
    time_limit: float = 60.0,
    *,
    start_limit: float = START_S,
) -> Answer:
    """Run a peer and return its last point.

    Raises
    ------
    PeerError
        If it cannot be run, crashed or ran out of time.
    """
    return list(follow(name, task, settings, time_limit, start_limit=start_limit))[-1]


def make(
    name: str | Peer, folder: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> str:
    """Make a peer's environment, unless it is complete, and return the package's version.

    Parameters
    ----------
    name : str or Peer
    folder : Path, optional
        Where environments are made, one folder a peer; `home` if left out.
    tell : callable
        Called with each line that pip says.

    Raises
    ------
    PeerError
        Of kind "missing", with pip's own reason; what was made is removed.
    """
    peer = peer_of(name)
    place = (folder or home()) / peer.base
    mark, python = place / READY, python_in(place)
    if mark.is_file() and python.exists():
        return mark.read_text().strip()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PeerError("missing", f"{place.parent} cannot be made: {error.strerror}") from None
    version = f"import {peer.package}, importlib.metadata as m; print(m.version(%r))"
    try:
        _do([sys.executable, "-I", "-m", "venv", "--clear", str(place)], tell)
        pip = [str(python), "-I", "-m", "pip", "install", "--disable-pip-version-check"]
        _do([*pip, *peer.requirements], tell)
        found = _do([str(python), "-I", "-c", version % peer.distribution], tell)
        mark.write_text(found + "\n")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return found


def python_in(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _do(command: Sequence[str], tell: Callable[[str], None]) -> str:
    """Run a command to its end and return its last line, or raise `PeerError` with the error's."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                lines.append(line.strip())
                tell(lines[-1])
    if process.returncode:
        errors = [line for line in lines if line.startswith("ERROR")]
        raise PeerError("missing", [f"exit {process.returncode}", *lines, *errors][-1])
    return lines[-1] if lines else ""
