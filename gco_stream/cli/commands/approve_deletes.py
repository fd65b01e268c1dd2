"""`gco-stream approve-deletes`: what waits to be removed although no item asks for it, and letting exactly that go."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gco_stream.cli.errors import CONFLICT, CommandError
from gco_stream.cli.output import Rows, say, say_json, show_rows, warn

if TYPE_CHECKING:
    from gco_stream.admin.pending_deletions import PendingDeletions


def approve_deletes(
    digest: Annotated[
        str | None,
        typer.Argument(
            help="The digest of the list that was shown; approves it. Without it the list is shown.", metavar="DIGEST"
        ),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Show which endpoints would be removed without being asked by desired_state=deleted, or approve that.

    These are endpoints that have left this region and objects whose item is gone from the table. The controller removes
    a few an hour by itself (MASS_DELETE_LIMIT), and none where the table is empty; the others wait. With the digest of
    the list, exactly what was shown goes, within an hour: neither objects made since then nor other endpoints.

    Settings come from the environment, as for `gco-stream run`.

    Examples:

      gco-stream approve-deletes

      gco-stream approve-deletes 3f2a9c1b7d04
    """
    from gco_stream.admin.pending_deletions import NotApproved, approve, pending_deletions
    from gco_stream.cli.errors import USAGE
    from gco_stream.settings import load_settings

    if output not in {"text", "json"}:
        raise CommandError(f"--output: {output!r} is not allowed; allowed: text, json", USAGE)
    settings = load_settings()
    if digest is None:
        _show(asyncio.run(pending_deletions(settings)), output)
        return
    try:
        approved = asyncio.run(approve(settings, digest))
    except NotApproved as refusal:
        raise CommandError(f"not approved: {refusal}", CONFLICT) from None
    say(f"approved for an hour: the removal of {_endpoints(len(approved.deletions))} as shown")


def _show(pending: "PendingDeletions", output: str) -> None:
    if output == "json":
        shown = {
            "digest": pending.digest,
            "endpoints": [
                {"name": one.name, "why": one.why, "objects": list(one.objects)} for one in pending.deletions
            ],
            "more": pending.more,
            "unreadable_namespaces": dict(pending.unsynced),
        }
        say_json(shown)
        return
    for namespace, why in pending.unsynced.items():
        warn(f"namespace {namespace} cannot be read, so nothing of it is listed: {why}")
    if not pending.deletions:
        say("nothing waits to be removed")
        return
    show_rows(
        Rows(("NAME", "WHY", "OBJECTS"), [(one.name, one.why, ", ".join(one.objects)) for one in pending.deletions])
    )
    if pending.more:
        warn(f"{_endpoints(pending.more)} more wait; they can be shown and approved once these are gone")
    say(f"digest {pending.digest}")
    say(f"`gco-stream approve-deletes {pending.digest}` lets exactly {_endpoints(len(pending.deletions))} go")


def _endpoints(count: int) -> str:
    return "1 endpoint" if count == 1 else f"{count} endpoints"
