"""`gco-stream endpoint upgrade`: rolls out the newest pod template in this cluster, a few endpoints at a time."""

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
            autocompletion=complete_endpoint, help="Name of the endpoint. Required without --all.", metavar="NAME"
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Upgrade every endpoint that has an older pod template.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--max",
            min=1,
            help="Maximum number of endpoints that roll out at the same time. Required with --all, otherwise 1.",
            metavar="N",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the fields that would change, but change nothing.")
    ] = False,
) -> None:
    """Roll out the newest pod template, which restarts the pods of an endpoint in this cluster.

    A Deployment keeps the pod template with which it was created or adopted until its item changes, so that a new
    release of gco-stream restarts no pods. This command requests the upgrade; the controller carries it out. With
    --all, endpoints are upgraded in the order of their names, and those that still roll out count towards --max. Repeat
    the command until no endpoints are left.

    Settings come from the environment, as for `gco-stream run`.

    Examples:

      gco-stream endpoint upgrade chat --dry-run

      gco-stream endpoint upgrade --all --max 2
    """
    from gco_stream.admin.template_upgrade import request_upgrade
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise CommandError("pass either NAME or --all", USAGE)
    if every and limit is None:
        raise CommandError("--max: missing required value: --all requires it, because pods restart", USAGE)
    if limit is not None and not every:
        raise CommandError("--max requires --all", USAGE)

    def show(one: "EndpointUpgrade") -> None:
        _show(one, dry_run=dry_run)

    done = asyncio.run(request_upgrade(load_settings(), name, limit or 1, dry_run=dry_run, on_each=show))
    if name is not None:
        _show_one(name, done)
    else:
        _show_all(done, dry_run=dry_run)


def _show(one: "EndpointUpgrade", *, dry_run: bool) -> None:
    for behind in one.outdated:
        say(f"{one.endpoint} {'would be upgraded' if dry_run else 'upgraded'}: {behind.ref}, version {behind.version}")
        if dry_run:
            for line in behind.changes or ("no changes to its pods",):
                say(f"  {line}")


def _show_one(name: str, done: "UpgradeRequest") -> None:
    found = done.selection
    if not done.exists:
        raise CommandError(f"endpoint {name} does not exist or is invalid", NOT_FOUND)
    if found.blocked:
        raise CommandError(f"{name} cannot be upgraded: {found.blocked[0].obstacle}", CONFLICT)
    if found.rolling:
        say(f"{name} unchanged: an upgrade is still rolling out")
    elif not found.selected:
        say(f"{name} unchanged: no Deployment here has a pod template older than version {done.version}")


def _show_all(done: "UpgradeRequest", *, dry_run: bool) -> None:
    found = done.selection
    for one in found.blocked:
        say(f"{one.endpoint} cannot be upgraded: {one.obstacle}")
    if found.rolling:
        say(f"still rolling out: {', '.join(found.rolling)}")
    words = "would be upgraded" if dry_run else "upgraded"
    say(f"{len(found.selected)} {words}, {len(found.rolling)} still rolling out, {len(found.deferred)} left")
