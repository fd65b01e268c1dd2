"""`gco-stream table …`: creates the table, enables its stream and shows its status."""

from typing import Any

import typer

from gco_stream.cli.options import DEFAULT_TABLE, RegionOption, TableLocation, TableOption, client_of, locate
from gco_stream.cli.output import Rows, say, show_rows, warn

app = typer.Typer(no_args_is_help=True, help="Create the table of endpoints, enable its stream, show its status.")


@app.command()
def create(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Create the table with on-demand capacity, a stream and point-in-time recovery.

    Examples:

      gco-stream table create --region us-east-1
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    created = bootstrap.create(client, location.table)
    say(f"table {location.table} created in {location.region} with its stream enabled")
    if created.backups_problem:
        warn(f"point-in-time recovery is not enabled: {created.backups_problem}")


@app.command("enable-stream")
def enable_stream(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Enable the table's stream, so that changes are detected at once. An enabled stream is not changed.

    Examples:

      gco-stream table enable-stream
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    info, changed = bootstrap.enable_stream(client, location.table)
    outcome = "enabled" if changed else "already enabled"
    say(f"stream of {location.table} {outcome} ({info.view_type})")


@app.command()
def status(table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Show the state, stream, backups and size of the table.

    Examples:

      gco-stream table status --table gco-inference-endpoints
    """
    from gco_stream.table import bootstrap

    location, client = _open(table, region)
    info = bootstrap.describe(client, location.table)
    backups = {True: "enabled", False: "disabled", None: "unknown"}[bootstrap.backups_enabled(client, location.table)]
    stream = f"enabled, {info.view_type}" if info.stream_enabled else "disabled; run `gco-stream table enable-stream`"
    rows = [
        ("table", location.table),
        ("region", location.region),
        ("arn", info.arn),
        ("state", info.status.lower()),
        ("stream", stream),
        ("stream arn", info.stream_arn if info.stream_enabled and info.stream_arn else "-"),
        ("point-in-time recovery", backups),
        ("items", f"{info.items} ({info.bytes} bytes), updated by DynamoDB about every six hours"),
    ]
    show_rows(Rows(("FIELD", "VALUE"), rows))


def _open(table: str, region: str | None) -> tuple[TableLocation, Any]:
    location = locate(table, region)
    return location, client_of(location)
