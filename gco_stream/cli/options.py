"""Which table a command speaks of, and the way to it. A command needs no more of the settings than these two."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gco_stream.aws.table_errors import TableError
from gco_stream.cli.errors import NOT_FOUND, USAGE, CommandError

if TYPE_CHECKING:
    from gco_stream.model.wire import WireItem
    from gco_stream.table.sync_table import SyncEndpointTable

TABLE_VARIABLE: Final = "INFERENCE_ENDPOINTS_TABLE_NAME"
REGION_VARIABLES: Final = ("DYNAMODB_REGION", "REGION", "AWS_REGION")
DEFAULT_TABLE: Final = "gco-inference-endpoints"
_TABLE_NAME: Final = r"[a-zA-Z0-9_.-]{3,255}"
_REGION_NAME: Final = r"[a-z0-9-]{1,40}"

TableOption = Annotated[
    str, typer.Option("--table", envvar=TABLE_VARIABLE, help="The table of endpoints.", metavar="NAME")
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region", envvar=list(REGION_VARIABLES), help="The home region, where the table is written.", metavar="REGION"
    ),
]


@dataclass(frozen=True, slots=True)
class TableLocation:
    """A table's name and home region."""

    table: str
    region: str


def locate(table: str, region: str | None) -> TableLocation:
    """The table that the options name. Raises Failure where one of them is missing or cannot be a name."""
    if not region:
        raise CommandError(f"no region: pass --region or set one of {', '.join(REGION_VARIABLES)}", USAGE)
    if not re.fullmatch(_REGION_NAME, region):
        raise CommandError(f"region {region!r} is not allowed; allowed: a region's name like us-east-1", USAGE)
    if not re.fullmatch(_TABLE_NAME, table):
        raise CommandError(
            f"table {table!r} is not allowed; allowed: 3 to 255 letters, digits, '_', '.' and '-'", USAGE
        )
    return TableLocation(table, region)


def client_of(location: TableLocation) -> Any:
    """A boto3 client of DynamoDB in the table's region."""
    from gco_stream.table.sync_table import dynamodb

    return dynamodb(location.region)


def open_table(table: str, region: str | None) -> "SyncEndpointTable":
    """The table of endpoints, for a person's reads and writes. Nothing is sent yet."""
    from gco_stream.table.sync_table import SyncEndpointTable

    location = locate(table, region)
    return SyncEndpointTable(client_of(location), location.table)


def _names(location: TableLocation) -> list[str]:
    from gco_stream.table.sync_table import SyncEndpointTable, dynamodb

    # Whoever presses Tab waits for a moment and no longer.
    endpoints = SyncEndpointTable(dynamodb(location.region, attempts=1, timeout=1), location.table)
    return sorted(item["endpoint_name"]["S"] for item in endpoints.scan(("endpoint_name",)))


def item_of(table: "SyncEndpointTable", name: str) -> "WireItem":
    """The endpoint's item. Raises Failure (not found)."""
    item = table.get(name)
    if item is None:
        raise CommandError(f"there is no endpoint {name}", NOT_FOUND)
    return item


def complete_endpoint(context: typer.Context, incomplete: str) -> list[str]:
    """The endpoints whose names begin so, for the shell. Never fails: a shell has no place for a complaint."""
    region = context.params.get("region") or next(filter(None, map(os.environ.get, REGION_VARIABLES)), None)
    table = context.params.get("table") or os.environ.get(TABLE_VARIABLE) or DEFAULT_TABLE
    with suppress(TableError, CommandError):
        return [name for name in _names(locate(table, region)) if name.startswith(incomplete)]
    return []


NameArgument = Annotated[
    str, typer.Argument(autocompletion=complete_endpoint, help="The endpoint's name.", metavar="NAME")
]
