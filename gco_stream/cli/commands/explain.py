"""`gco-stream explain`: how an endpoint stands, what would be done about it, and why, acting on nothing."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gco_stream.cli import output
from gco_stream.cli.errors import NOT_FOUND, UNREACHABLE, USAGE, CommandError
from gco_stream.cli.render import explain as explained

if TYPE_CHECKING:
    from gco_stream.admin.dry_run import DryRun
    from gco_stream.settings import Settings


def explain(
    name: Annotated[str | None, typer.Argument(help="The endpoint's name; without it, --all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every endpoint of the table.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="With --all: everything about those that are as asked, too.")
    ] = False,
    form: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Show how an endpoint stands here, what the controller would do about it now, and why. Reads only.

    Settings come from the environment, as for `gco-stream run`. The first line is the verdict. Below it: what the item
    asks of this region, what the regions reported, each object, and what comes next. An object is in sync, would be
    created, would change, would be deleted, held (by a hold, a limit or an error), left alone, not owned, terminating,
    or not needed.

    Keys of the JSON. `endpoints`: by name, each with `in_desired_state` (in the desired state), `reason` (the code of
    why not, or null; docs/reasons.md lists the codes), `headline`, `in_sync` (nothing would be done), `hold`, `desired`
    (by label), `regions` (by name: `is_local`, `is_target`, `outdated`, `unreadable`, `state`, `replicas_ready`,
    `replicas_desired`, `last_sync`, `error`, `reason`: its code), `objects` (each with `kind`, `namespace`, `name`,
    `state` (InSync, WouldCreate, WouldChange, WouldDelete, Held, LeftAlone, NotOwned, Terminating or NotNeeded),
    `message`, `reason`: the code of what prevents a change, `details`, `state_without_hold`: the verdict if it were not
    held, `upgrade`: what the newest pod template would change), `steps`, `withheld` (the steps that a hold prevents),
    `report`, `write_report`, `table_change` (promote or purge), `pending_change` (promotion or purge), `waits_for`,
    `requeue_after_seconds`, `requeue_message`, `notes`, `warnings` (each with `reason` and `message`). Beside it
    `unknown` (names that cannot be explained, and why), `unclaimed` (names whose objects exist without an item),
    `orphans` (by these names: `steps` that are taken once two scans have not found the item, `notes`, `warnings`) and
    `unreadable_namespaces`.

    Examples:

      gco-stream explain chat

      gco-stream explain --all

      gco-stream explain --all -o json | jq '.endpoints[] | select(.in_desired_state | not) | .headline'
    """
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise CommandError("name one endpoint, or give --all", USAGE)
    if details and not every:
        raise CommandError("--details goes with --all; one endpoint is always shown in full", USAGE)
    if form not in {"text", "json"}:
        raise CommandError(f"--output: {form!r} is not allowed; allowed: text, json", USAGE)
    result = _make_dry_run(load_settings(), [name] if name else None)
    if form == "json":
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
    """Prints what would be done about every endpoint, what is held, and what an upgrade would change.

    Raises Failure where what stands of an endpoint cannot be read.
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
        typer.echo(f"{upgrades} of {len(every)} endpoints keep an older pod template; an upgrade would change it")
    changes = sum(not one.plan.in_sync for _, one in every)
    typer.echo(f"{changes} of {len(every)} endpoints would change; nothing was done")
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
        f"{len(every)} endpoints: {in_sync} as asked, {len(every) - in_sync} not as asked, {held} held, "
        f"{upgrades} on an older pod template, {len(result.unknown)} unknown"
    )


def _show_unsynced(result: "DryRun") -> None:
    for namespace, why in result.unsynced.items():
        output.say(f"namespace {namespace} cannot be read: {why}")


def _show_orphans(result: "DryRun") -> None:
    for name, plan in result.orphans.items():
        _print(explained.orphan_lines(name, plan))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        output.say(line)


def _end(result: "DryRun") -> None:
    missing = [name for name, item in result.items.items() if item is None]
    if missing:
        raise CommandError(f"endpoint {missing[0]}: the table has no such item", NOT_FOUND)
    if result.unknown:
        name, why = min(result.unknown.items())
        others = f" (and {len(result.unknown) - 1} more)" if len(result.unknown) > 1 else ""
        raise CommandError(f"what stands of {name}{others} cannot be read: {why}", UNREACHABLE)


def _as_json(result: "DryRun") -> dict[str, Any]:
    return {
        "endpoints": {name: explained.as_json(one) for name, one in sorted(result.explanations.items())},
        "unknown": result.unknown,
        "unclaimed": list(result.orphans),
        "orphans": {name: explained.orphan_as_json(plan) for name, plan in result.orphans.items()},
        "unreadable_namespaces": result.unsynced,
    }
