"""`gco-stream explain`: how an endpoint stands, what would be done about it, and why, acting on nothing."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gco_stream.cli import output
from gco_stream.cli.errors import NOT_FOUND, UNREACHABLE, USAGE, Failure
from gco_stream.cli.render import explain as explained

if TYPE_CHECKING:
    from gco_stream.admin.dry_run import Preview
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

    Keys of the JSON. `endpoints`: by name, each with `as_asked` (in the desired state), `reason` (the code of why not,
    or null; docs/reasons.md lists the codes), `headline`, `in_sync` (nothing would be done), `hold`, `asked` (by
    label), `regions` (by name: `here`, `is_target`, `outdated`, `unreadable`, `state`, `replicas_ready`,
    `replicas_desired`, `last_sync`, `error`, `reason`: its code), `objects` (each with `kind`, `namespace`, `name`,
    `verdict` (InSync, WouldCreate, WouldChange, WouldDelete, Held, LeftAlone, NotOwned, Terminating or NotNeeded),
    `why`, `reason`: the code of what prevents a change, `details`, `otherwise`: the verdict if it were not held,
    `upgrade`: what the newest pod template would change), `steps`, `withheld` (the steps that a hold prevents),
    `report`, `write_report`, `table_change` (promote or purge), `agreement` (promotion or purge), `waits_for`,
    `look_again_seconds`, `look_again_why`, `notes`, `warnings` (each with `reason` and `message`). Beside it `unknown`
    (names that cannot be explained, and why), `unclaimed` (names whose objects exist without an item), `orphans` (by
    these names: `steps` that are taken once two scans have not found the item, `notes`, `warnings`) and
    `unreadable_namespaces`.

    Examples:

      gco-stream explain chat

      gco-stream explain --all

      gco-stream explain --all -o json | jq '.endpoints[] | select(.as_asked | not) | .headline'
    """
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise Failure("name one endpoint, or give --all", USAGE)
    if details and not every:
        raise Failure("--details goes with --all; one endpoint is always shown in full", USAGE)
    if form not in {"text", "json"}:
        raise Failure(f"--output: {form!r} is not allowed; allowed: text, json", USAGE)
    found = _look(load_settings(), [name] if name else None)
    if form == "json":
        typer.echo(orjson.dumps(_as_json(found), option=orjson.OPT_INDENT_2).decode())
    elif every:
        _show_every(found, details=details)
    else:
        _show_surroundings(found)
        for one in found.explanations.values():
            _say(explained.in_full(one, found.now))
        _show_unclaimed(found)
    _end(found)


def show_dry_run(settings: "Settings") -> None:
    """Prints what would be done about every endpoint, what is held, and what an upgrade would change.

    Raises Failure where what stands of an endpoint cannot be read.
    """
    found = _look(settings, None)
    _show_surroundings(found)
    every = sorted(found.explanations.items())
    for _, one in every:
        if not one.plan.in_sync or one.is_held or one.has_upgrade:
            _say(explained.in_short(one))
    _show_unclaimed(found)
    held, upgrades = sum(one.is_held for _, one in every), sum(one.has_upgrade for _, one in every)
    if held:
        typer.echo(f"{held} of {len(every)} endpoints are held")
    if upgrades:
        typer.echo(f"{upgrades} of {len(every)} endpoints keep an older pod template; an upgrade would change it")
    changes = sum(not one.plan.in_sync for _, one in every)
    typer.echo(f"{changes} of {len(every)} endpoints would change; nothing was done")
    _end(found)


def _look(settings: "Settings", wanted: list[str] | None) -> "Preview":
    from gco_stream.admin.dry_run import preview

    return asyncio.run(preview(settings, wanted))


def _show_every(found: "Preview", *, details: bool) -> None:
    _show_surroundings(found)
    every = [one for _, one in sorted(found.explanations.items())]
    for one in every:
        if details or not one.as_asked or one.plan.steps:
            _say(explained.in_full(one, found.now))
            typer.echo()
        else:
            _say(explained.in_short(one))
    _show_unclaimed(found)
    good, held = sum(one.as_asked for one in every), sum(one.is_held for one in every)
    upgrades = sum(one.has_upgrade for one in every)
    typer.echo(
        f"{len(every)} endpoints: {good} as asked, {len(every) - good} not as asked, {held} held, "
        f"{upgrades} on an older pod template, {len(found.unknown)} unknown"
    )


def _show_surroundings(found: "Preview") -> None:
    for namespace, why in found.blind.items():
        output.say(f"namespace {namespace} cannot be read: {why}")


def _show_unclaimed(found: "Preview") -> None:
    for name, made in found.unclaimed.items():
        _say(explained.unclaimed(name, made))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        output.say(line)


def _end(found: "Preview") -> None:
    missing = [name for name, item in found.items.items() if item is None]
    if missing:
        raise Failure(f"endpoint {missing[0]}: the table has no such item", NOT_FOUND)
    if found.unknown:
        name, why = min(found.unknown.items())
        others = f" (and {len(found.unknown) - 1} more)" if len(found.unknown) > 1 else ""
        raise Failure(f"what stands of {name}{others} cannot be read: {why}", UNREACHABLE)


def _as_json(found: "Preview") -> dict[str, Any]:
    return {
        "endpoints": {name: explained.as_json(one) for name, one in sorted(found.explanations.items())},
        "unknown": found.unknown,
        "unclaimed": list(found.unclaimed),
        "orphans": {name: explained.orphan_as_json(made) for name, made in found.unclaimed.items()},
        "unreadable_namespaces": found.blind,
    }
