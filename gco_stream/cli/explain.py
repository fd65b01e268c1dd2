"""`gco-stream explain`: what would be done about an endpoint, and why, acting on nothing."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gco_stream.cli.failure import NOT_FOUND, UNREACHABLE, USAGE, Failure

if TYPE_CHECKING:
    from gco_stream.settings import Settings


def explain(
    name: Annotated[str | None, typer.Argument(help="The endpoint's name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every endpoint of the table.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Show what the controller would do about an endpoint now, and why. Reads only.

    Settings come from the environment, as for `gco-stream run`.

    Examples:

      gco-stream explain chat

      gco-stream explain --all -o json
    """
    from gco_stream.settings import load_settings

    if (name is None) == (not every):
        raise Failure("name one endpoint, or give --all", USAGE)
    if output not in {"text", "json"}:
        raise Failure(f"--output: {output!r} is not allowed; allowed: text, json", USAGE)
    show_preview(load_settings(), [name] if name else None, output=output, only_changes=False)


def show_preview(settings: "Settings", wanted: list[str] | None, *, output: str, only_changes: bool) -> None:
    """Prints the plans of the named endpoints, or of all; `only_changes` leaves out those that need nothing.

    Raises Failure where a named endpoint has no item, or where what stands of one cannot be read.
    """
    from gco_stream.engine.preview import preview

    found = asyncio.run(preview(settings, wanted))
    if output == "json":
        typer.echo(orjson.dumps(_as_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        _as_text(found, only_changes=only_changes)
    missing = [name for name, item in found.items.items() if item is None]
    if missing:
        raise Failure(f"endpoint {missing[0]}: the table has no such item", NOT_FOUND)
    if found.unknown:
        name, why = min(found.unknown.items())
        others = f" (and {len(found.unknown) - 1} more)" if len(found.unknown) > 1 else ""
        raise Failure(f"what stands of {name}{others} cannot be read: {why}", UNREACHABLE)


def _as_text(found: Any, *, only_changes: bool) -> None:
    for namespace, why in found.blind.items():
        typer.echo(f"namespace {namespace} cannot be read: {why}")
    changes = 0
    for name, made in sorted(found.plans.items()):
        changes += not made.in_sync
        if only_changes and made.in_sync:
            continue
        typer.secho(name, bold=True)
        for sentence in made.sentences():
            typer.echo(f"  {sentence}")
    for name in found.unclaimed:
        typer.echo(f"objects of {name} stand in the cluster, but the table has no such item; they are left alone")
    if only_changes:
        typer.echo(f"{changes} of {len(found.plans)} endpoints would change; nothing was done")


def _as_json(found: Any) -> dict[str, Any]:
    return {
        "endpoints": {
            name: {
                "in_sync": made.in_sync,
                "steps": [str(step) for step in made.steps],
                "report": None if made.report is None else str(made.report),
                "write_report": made.write_report,
                "table_change": made.table_change,
                "look_again_seconds": made.look_again.after if made.look_again else None,
                "notes": made.notes,
                "warnings": made.warnings,
            }
            for name, made in sorted(found.plans.items())
        },
        "unknown": found.unknown,
        "unclaimed": found.unclaimed,
        "unreadable_namespaces": found.blind,
    }
