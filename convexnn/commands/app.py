"""The command line: ``convexnn solve | compare | bench FAMILY``, ``path DATA``, ``predict``, ..."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer import Exit, Option
from typer.core import TyperGroup

from convexnn.commands import bench as sweeps
from convexnn.commands import (
    bench_check,
    median,
    one_vs_rest,
    options,
    path,
    radius,
    relu,
    robust,
    saved,
    wasserstein,
)
from convexnn.commands import bench_peers as peers_of_bench
from convexnn.commands import family as commands_of
from convexnn.commands import warm_up as warming
from convexnn.commands.report import terminal
from convexnn.contract.checks import choice
from convexnn.contract.system.files import to_json
from convexnn.driver.choice import backends as list_backends

FAMILIES = {
    "relu": relu.FAMILY,
    "robust": robust.FAMILY,
    "wasserstein": wasserstein.FAMILY,
    "median": median.FAMILY,
}


def say_version(asked: bool) -> None:
    """Print the version and end, if that is asked."""
    if asked:
        print(f"convexnn {version('convexnn')}")
        raise Exit()


class Families(TyperGroup):
    """Commands that are problem families; an unknown one is a mistake like any other."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the family's command, or raise `ProblemError` that lists them."""
        if not args[0].startswith("-"):
            choice("problem", args[0], list(self.commands))
        return super().resolve_command(ctx, args)


class Commands(TyperGroup):
    """All commands, those that solve first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return sorted(super().list_commands(ctx), key=lambda name: name not in ("solve", "compare"))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
solve = typer.Typer(cls=Families, no_args_is_help=True, help="Solve a problem.")
compare = typer.Typer(
    cls=Families, no_args_is_help=True, help="Solve a problem with every capable backend; compare."
)
bench = typer.Typer(
    cls=Families, no_args_is_help=True, help="Hold every backend and peer against the others."
)
for name, family in FAMILIES.items():
    solve.command(name)(commands_of.solve(family))
    compare.command(name)(commands_of.compare(family))
    bench.command(name)(sweeps.of(name))
bench.command("report")(sweeps.report)
bench.command("peers")(peers_of_bench.peers)
bench.command("check")(bench_check.check)
app.add_typer(solve, name="solve")
app.add_typer(compare, name="compare")
app.add_typer(bench, name="bench")
app.command("path")(commands_of.typed(path.path, "", options.reading))
app.command("radius")(commands_of.typed(radius.radius, "", options.reading))
app.command("one-vs-rest")(commands_of.typed(one_vs_rest.one_vs_rest, "", options.reading))
app.command("predict")(commands_of.typed(saved.predict, "", saved.written))
app.command("show")(saved.show)
app.command("certify")(saved.certify)
app.command("warm-up")(warming.warm_up)

Version = Annotated[
    bool, Option("--version", is_eager=True, callback=say_version, help="print the version")
]


@app.callback()
def main(version: Version = False) -> None:
    """Declare a convex learning problem, solve it, get a certificate."""


@app.command()
def backends(json: options.Json = False) -> None:
    """List the backends: what each is for, its options, and what stands in its way."""
    found = list_backends()
    print(to_json(found.reasons) if json else found.text(terminal().width))
