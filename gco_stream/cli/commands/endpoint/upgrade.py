"""`gco-stream endpoint upgrade`: move Deployments of this cluster to the newest pod template, a few at a time."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gco_stream.cli.errors import CONFLICT, NOT_FOUND, USAGE, Failure
from gco_stream.cli.options import complete_endpoint
from gco_stream.cli.output import say

if TYPE_CHECKING:
    from gco_stream.admin.template_upgrade import Upgraded
    from gco_stream.planning.explain.template_upgrade import Upgrade


def upgrade(
    name: Annotated[
        str | None,
        typer.Argument(
            autocompletion=complete_endpoint, help="The endpoint's name; without it, --all.", metavar="NAME"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every endpoint that keeps an older pod template.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--max", min=1, help="Endpoints on the way at once; --all needs it, without --all it is one.", metavar="N"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, field by field.")] = False,
) -> None:
    """Restart an endpoint's pods here with the newest pod template, where they keep an older one.

    A Deployment keeps the pod template that it was made with, or that it was adopted with, until its item changes: a
    newer program restarts nothing. Settings come from the environment, as for `gco-stream run`, and it concerns this
    cluster alone. The controller carries it out. With --all, endpoints are taken by name, and those that are still
    rolling out from an earlier upgrade count against --max: run it again until nothing is left.

    Examples:

      gco-stream endpoint upgrade chat --dry-run

      gco-stream endpoint upgrade --all --max 2
    """
    from gco_stream.admin.template_upgrade import upgrade as carry_out
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise Failure("name one endpoint, or give --all", USAGE)
    if every and limit is None:
        raise Failure("--all needs --max: how many endpoints may be on the way at once, for their pods restart", USAGE)
    if limit is not None and not every:
        raise Failure("--max goes with --all", USAGE)

    def tell(one: "Upgrade") -> None:
        _tell(one, dry_run=dry_run)

    done = asyncio.run(carry_out(load_settings(), name, limit or 1, dry_run=dry_run, on_each=tell))
    if name is not None:
        _tell_of_one(name, done)
    else:
        _tell_of_all(done, dry_run=dry_run)


def _tell(one: "Upgrade", *, dry_run: bool) -> None:
    for behind in one.behind:
        say(f"{one.endpoint} {'would be upgraded' if dry_run else 'upgraded'}: {behind.ref}, version {behind.version}")
        if dry_run:
            for line in behind.changes or ("nothing of its pods changes",):
                say(f"  {line}")


def _tell_of_one(name: str, done: "Upgraded") -> None:
    found = done.selection
    if not done.exists:
        raise Failure(f"there is no endpoint {name} that can be read", NOT_FOUND)
    if found.blocked:
        raise Failure(f"{name} cannot be upgraded: {found.blocked[0].obstacle}", CONFLICT)
    if found.rolling:
        say(f"{name} unchanged: an upgrade is still rolling out")
    elif not found.chosen:
        say(f"{name} unchanged: none of its Deployments here keeps a pod template older than version {done.version}")


def _tell_of_all(done: "Upgraded", *, dry_run: bool) -> None:
    found = done.selection
    for one in found.blocked:
        say(f"{one.endpoint} cannot be upgraded: {one.obstacle}")
    if found.rolling:
        say(f"still rolling out: {', '.join(found.rolling)}")
    words = "would be upgraded" if dry_run else "upgraded"
    say(f"{len(found.chosen)} {words}, {len(found.rolling)} still rolling out, {len(found.left)} left")
