"""`gco-stream explain`: shows the state of endpoints, what the controller would do, and why. Changes nothing."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gco_stream.cli import output
from gco_stream.cli.errors import NOT_FOUND, UNREACHABLE, USAGE, CommandError
from gco_stream.cli.output import Format, TextOutputOption
from gco_stream.cli.render import explain as explained

if TYPE_CHECKING:
    from gco_stream.admin.dry_run import DryRun
    from gco_stream.settings import Settings


def explain(
    name: Annotated[str | None, typer.Argument(help="Name of the endpoint. Required without --all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Explain every endpoint in the table.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="With --all, also show details of endpoints in their desired state.")
    ] = False,
    form: TextOutputOption = Format.TEXT,
) -> None:
    """Show the state of an endpoint in this region, and what the controller would do now and why. Changes nothing.

    Settings come from the environment, as for `gco-stream run`. The first line is a summary. The lines below show the
    desired state, the reports of the regions, each object, and what happens next. An object is in sync, would be
    created, would change, would be deleted, held (by a hold, a limit or an error), left alone, not owned, terminating,
    or not needed.

    Keys of the JSON. `endpoints`: by name, each with `in_desired_state`, `reason` (the code of why not, or null;
    docs/reasons.md lists the codes), `headline`, `in_sync` (the controller would do nothing), `hold`, `desired` (the
    desired state, by label), `regions` (by name: `is_local`, `is_target`, `outdated`, `unreadable`, `state`,
    `replicas_ready`, `replicas_desired`, `last_sync`, `error`, and `reason`: the code of the error), `objects` (each
    with `kind`, `namespace`, `name`, `status` (InSync, WouldCreate, WouldChange, WouldDelete, Held, LeftAlone,
    NotOwned, Terminating or NotNeeded), `message`, `reason`: the code of what prevents a change, `details`,
    `status_if_not_held`, `upgrade`: what the newest pod template would change), `steps`, `withheld` (the steps that a
    hold prevents), `report`, `write_report`, `table_change` (promote or purge), `pending_table_change` (promotion or
    purge) and `waits_for` (the reports that it waits for), `requeue_after_seconds`, `requeue_message`, `notes`, and
    `warnings` (each with `reason` and `message`). Other keys at the top level: `unknown` (names that cannot be
    explained, and why), `unclaimed` (names with objects but no item), `orphans` (for each of these names `steps`,
    `notes` and `warnings`; the steps are carried out once two scans have not found the item) and
    `unreadable_namespaces`.

    Examples:

      gco-stream explain chat

      gco-stream explain --all

      gco-stream explain --all -o json | jq '.endpoints[] | select(.in_desired_state | not) | .headline'
    """
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise CommandError("pass either NAME or --all", USAGE)
    if details and not every:
        raise CommandError("--details requires --all", USAGE)
    result = _make_dry_run(load_settings(), [name] if name else None)
    if form is Format.JSON:
        typer.echo(orjson.dumps(_as_json(result), option=orjson.OPT_INDENT_2).decode())
    elif every:
        _show_every(result, details=details)
    else:
        _show_unsynced(result)
        for one in result.explanations.values():
            _print(explained.in_full(one, result.now))
        _show_orphans(result)
    _end(result)


def show_dry_run(settings: "Settings") -> None:
    """Prints what the controller would do, which changes are held, and what an upgrade would change.

    Raises CommandError if the objects of an endpoint cannot be read.
    """
    result = _make_dry_run(settings, None)
    _show_unsynced(result)
    every = sorted(result.explanations.items())
    for _, one in every:
        if not one.plan.in_sync or one.is_held or one.has_upgrade:
            _print(explained.in_short(one))
    _show_orphans(result)
    held, upgrades = sum(one.is_held for _, one in every), sum(one.has_upgrade for _, one in every)
    if held:
        typer.echo(f"{held} of {len(every)} endpoints are held")
    if upgrades:
        typer.echo(f"{upgrades} of {len(every)} endpoints have an older pod template")
    changes = sum(not one.plan.in_sync for _, one in every)
    typer.echo(f"{changes} of {len(every)} endpoints would change (dry run)")
    _end(result)


def _make_dry_run(settings: "Settings", selected: list[str] | None) -> "DryRun":
    from gco_stream.admin.dry_run import make_dry_run

    return asyncio.run(make_dry_run(settings, selected))


def _show_every(result: "DryRun", *, details: bool) -> None:
    _show_unsynced(result)
    every = [one for _, one in sorted(result.explanations.items())]
    for one in every:
        if details or not one.in_desired_state or one.plan.steps:
            _print(explained.in_full(one, result.now))
            typer.echo()
        else:
            _print(explained.in_short(one))
    _show_orphans(result)
    in_sync, held = sum(one.in_desired_state for one in every), sum(one.is_held for one in every)
    upgrades = sum(one.has_upgrade for one in every)
    typer.echo(
        f"{_endpoints(len(every))}: {in_sync} in the desired state, {_need(len(every) - in_sync)} attention, "
        f"{held} held, {upgrades} with an older pod template, {len(result.unknown)} unknown"
    )


def _show_unsynced(result: "DryRun") -> None:
    for namespace, error in result.unsynced.items():
        output.say(f"namespace {namespace} cannot be read: {error}")


def _show_orphans(result: "DryRun") -> None:
    for name, plan in result.orphans.items():
        _print(explained.orphan_lines(name, plan))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        output.say(line)


def _end(result: "DryRun") -> None:
    if result.missing:
        raise CommandError(f"endpoint {result.missing[0]} does not exist", NOT_FOUND)
    if result.unknown:
        name, error = min(result.unknown.items())
        others = f" and {len(result.unknown) - 1} more" if len(result.unknown) > 1 else ""
        raise CommandError(f"objects of {name}{others} cannot be read: {error}", UNREACHABLE)


def _endpoints(count: int) -> str:
    return "1 endpoint" if count == 1 else f"{count} endpoints"


def _need(count: int) -> str:
    return "1 needs" if count == 1 else f"{count} need"


def _as_json(result: "DryRun") -> dict[str, Any]:
    return {
        "endpoints": {name: explained.as_json(one) for name, one in sorted(result.explanations.items())},
        "unknown": result.unknown,
        "unclaimed": list(result.orphans),
        "orphans": {name: explained.orphan_as_json(plan) for name, plan in result.orphans.items()},
        "unreadable_namespaces": result.unsynced,
    }
