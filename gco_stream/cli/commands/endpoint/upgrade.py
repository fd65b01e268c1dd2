"""`gco-stream endpoint request_upgrade`: move Deployments of this cluster to the newest pod template, a few at a
time.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gco_stream.cli.errors import CONFLICT, NOT_FOUND, USAGE, CommandError
from gco_stream.cli.options import complete_endpoint
from gco_stream.cli.output import say

if TYPE_CHECKING:
    from gco_stream.admin.template_upgrade import UpgradeRequest
    from gco_stream.planning.explain.template_upgrade import EndpointUpgrade


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
    from gco_stream.admin.template_upgrade import request_upgrade as carry_out
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise CommandError("name one endpoint, or give --all", USAGE)
    if every and limit is None:
        raise CommandError(
            "--all needs --max: how many endpoints may be on the way at once, for their pods restart", USAGE
        )
    if limit is not None and not every:
        raise CommandError("--max goes with --all", USAGE)

    def tell(one: "EndpointUpgrade") -> None:
        _print_endpoint(one, dry_run=dry_run)

    done = asyncio.run(carry_out(load_settings(), name, limit or 1, dry_run=dry_run, on_each=tell))
    if name is not None:
        _print_one(name, done)
    else:
        _print_summary(done, dry_run=dry_run)


def _print_endpoint(one: "EndpointUpgrade", *, dry_run: bool) -> None:
    for behind in one.outdated:
        say(f"{one.endpoint} {'would be upgraded' if dry_run else 'upgraded'}: {behind.ref}, version {behind.version}")
        if dry_run:
            for line in behind.changes or ("nothing of its pods changes",):
                say(f"  {line}")


def _print_one(name: str, done: "UpgradeRequest") -> None:
    found = done.selection
    if not done.exists:
        raise CommandError(f"there is no endpoint {name} that can be read", NOT_FOUND)
    if found.blocked:
        raise CommandError(f"{name} cannot be upgraded: {found.blocked[0].obstacle}", CONFLICT)
    if found.rolling:
        say(f"{name} unchanged: an upgrade is still rolling out")
    elif not found.selected:
        say(f"{name} unchanged: none of its Deployments here keeps a pod template older than version {done.version}")


def _print_summary(done: "UpgradeRequest", *, dry_run: bool) -> None:
    found = done.selection
    for one in found.blocked:
        say(f"{one.endpoint} cannot be upgraded: {one.obstacle}")
    if found.rolling:
        say(f"still rolling out: {', '.join(found.rolling)}")
    words = "would be upgraded" if dry_run else "upgraded"
    say(f"{len(found.selected)} {words}, {len(found.rolling)} still rolling out, {len(found.deferred)} left")
