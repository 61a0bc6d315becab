"""``convexnn bench peers``: make the environments of the competitors, or list where they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from convexnn.bench.peers import FOLDER, PEERS, Peer, find, home, make, peer_of
from convexnn.bench.processes import PeerError

Names = Annotated[list[str] | None, Argument(help="peers; all that need an environment if none")]
Folder = Annotated[Path | None, Option(help=f"where environments are made; {FOLDER}, or a cache")]
Only = Annotated[bool, Option("--list", help="make nothing: tell where each peer is found")]


def peers(names: Names = None, folder: Folder = None, only: Only = False) -> None:
    """Make an environment for each peer; say what was made, or why not."""
    chosen = [peer_of(name) for name in names or PEERS]
    if only:
        for peer in chosen:
            _row(peer.name, " ".join(peer.families), _where(peer))
        return
    wanted = {peer.base: PEERS.get(peer.base, peer) for peer in chosen if names or peer.own}
    failed = False
    for peer in wanted.values():
        try:
            version = _make(peer, folder)
            place = (folder or home()) / peer.base
            _row(peer.name, f"{peer.distribution} {version}", str(place))
        except PeerError as error:
            failed = True
            _row(peer.name, "not made", str(error))
    if folder is not None:
        print(f"sweeps find them with: export {FOLDER}={folder.resolve()}")
    if failed:
        raise Exit(1)


def _make(peer: Peer, folder: Path | None) -> str:
    """Make an environment, with pip's last line shown meanwhile."""
    from rich.console import Console

    console = Console(file=sys.stderr)
    what = f"{peer.name}: installing {', '.join(peer.requirements)}"
    if not console.is_terminal:
        print(what, file=sys.stderr, flush=True)
        return make(peer, folder)
    with console.status(what) as status:

        def tell(line: str) -> None:
            room = max(console.width - len(what) - 6, 0)
            status.update(f"{what}  {line[:room]}")

        return make(peer, folder, tell)


def _where(peer: Peer) -> str:
    try:
        return str(find(peer))
    except PeerError as error:
        return f"missing: {error}"


def _row(name: str, what: str, where: str) -> None:
    print(f"{name:18} {what:32} {where}", flush=True)
