"""`gco-stream table …`: making the table, its stream, and seeing how it is."""

from typing import Any

import typer

from gco_stream.cli.options import DEFAULT_TABLE, RegionOption, TableLocation, TableOption, client_of, locate
from gco_stream.cli.output import Rows, say, show_rows, warn

app = typer.Typer(no_args_is_help=True, help="Create the table of endpoints, turn its stream on, show how it is.")


@app.command()
def create(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Create the table, paid per request, with its stream and point-in-time recovery.

    Examples:

      gco-stream table create --region us-east-1
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    created = bootstrap.create(client, location.table)
    say(f"table {location.table} created in {location.region}, its stream is on")
    if created.backups_problem:
        warn(f"point-in-time recovery is not on: {created.backups_problem}")


@app.command("enable-stream")
def enable_stream(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Turn the table's stream on, so that changes are seen at once. A stream that is on stays as it is.

    Examples:

      gco-stream table enable-stream
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    info, changed = bootstrap.enable_stream(client, location.table)
    say(f"the stream of {location.table} is on ({info.view_type})" + ("" if changed else ", as it was"))


@app.command()
def status(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Show the table: whether it is active, its stream, its backups, its size.

    Examples:

      gco-stream table status --table gco-inference-endpoints
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    info = bootstrap.describe(client, location.table)
    backups = {True: "on", False: "off", None: "unknown"}[bootstrap.backups_enabled(client, location.table)]
    stream = f"on, {info.view_type}" if info.stream_enabled else "off; `gco-stream table enable-stream` turns it on"
    rows = [
        ("table", location.table),
        ("region", location.region),
        ("arn", info.arn),
        ("state", info.status.lower()),
        ("stream", stream),
        ("stream arn", info.stream_arn if info.stream_enabled and info.stream_arn else "-"),
        ("point-in-time recovery", backups),
        ("items", f"{info.items} ({info.bytes} bytes), as counted by DynamoDB every six hours"),
    ]
    show_rows(Rows(("FIELD", "VALUE"), rows))


def _open(table: str, region: str | None) -> tuple[TableLocation, Any]:
    location = locate(table, region)
    return location, client_of(location)
