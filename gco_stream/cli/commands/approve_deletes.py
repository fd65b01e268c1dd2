"""`gco-stream approve-deletes`: lists the removals that wait for approval, or approves them."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gco_stream.cli.errors import CONFLICT, CommandError
from gco_stream.cli.output import Format, Rows, TextOutputOption, say, say_json, show_rows, warn

if TYPE_CHECKING:
    from gco_stream.admin.pending_deletions import PendingDeletions


def approve_deletes(
    digest: Annotated[
        str | None,
        typer.Argument(help="Digest of the list to approve. Without it, the list is shown.", metavar="DIGEST"),
    ] = None,
    form: TextOutputOption = Format.TEXT,
) -> None:
    """List removals that wait for approval, or approve them.

    These are endpoints that no longer target this region, and objects of endpoints that are no longer in the table. An
    endpoint with desired_state=deleted needs no approval. The controller removes a limited number per hour without
    approval (MASS_DELETE_LIMIT), and none if the table is empty. An approval is valid for one hour and covers exactly
    the objects in the list with that digest: no other endpoints, and no objects created later.

    Settings come from the environment, as for `gco-stream run`.

    Keys of the JSON: `digest`, `endpoints` (each with `name`, `message` (why it would be removed) and `objects`),
    `more` (the number of removals that are not in the list) and `unreadable_namespaces` (by name, each with the error).

    Examples:

      gco-stream approve-deletes

      gco-stream approve-deletes 3f2a9c1b7d04
    """
    from gco_stream.admin.pending_deletions import NotApproved, approve, pending_deletions
    from gco_stream.settings import load_settings

    settings = load_settings()
    if digest is None:
        _show(asyncio.run(pending_deletions(settings)), form)
        return
    try:
        approved = asyncio.run(approve(settings, digest))
    except NotApproved as refusal:
        raise CommandError(f"not approved: {refusal}", CONFLICT) from None
    say(f"{_removals(len(approved.deletions))} approved for one hour")


def _show(pending: "PendingDeletions", form: Format) -> None:
    if form is Format.JSON:
        shown = {
            "digest": pending.digest,
            "endpoints": [
                {"name": one.name, "message": one.why, "objects": list(one.objects)} for one in pending.deletions
            ],
            "more": pending.more,
            "unreadable_namespaces": dict(pending.unsynced),
        }
        say_json(shown)
        return
    for namespace, error in pending.unsynced.items():
        warn(f"namespace {namespace} cannot be read; its objects are not listed: {error}")
    if not pending.deletions:
        say("no removals wait for approval")
        return
    show_rows(
        Rows(("NAME", "MESSAGE", "OBJECTS"), [(one.name, one.why, ", ".join(one.objects)) for one in pending.deletions])
    )
    if pending.more:
        warn(f"{_removals(pending.more)} more will be listed once these are done")
    say(f"digest {pending.digest}")
    say(f"run `gco-stream approve-deletes {pending.digest}` to approve {_removals(len(pending.deletions))}")


def _removals(count: int) -> str:
    return "1 removal" if count == 1 else f"{count} removals"
