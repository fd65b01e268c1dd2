"""Command-line options that select the table, and functions that open it.

Commands that use only the table need no other settings.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gco_stream.aws.errors import AWSError
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
    str, typer.Option("--table", envvar=TABLE_VARIABLE, help="Name of the table of endpoints.", metavar="NAME")
]
RegionOption = Annotated[
    str | None,
    typer.Option("--region", envvar=list(REGION_VARIABLES), help="Home region of the table.", metavar="REGION"),
]


@dataclass(frozen=True, slots=True)
class TableLocation:
    """A table's name and home region."""

    table: str
    region: str


def locate(table: str, region: str | None) -> TableLocation:
    """Returns the location that the options select. Raises CommandError if a value is missing or invalid."""
    if not region:
        raise CommandError(
            f"--region: missing required value: pass it or set one of {', '.join(REGION_VARIABLES)}", USAGE
        )
    if not re.fullmatch(_REGION_NAME, region):
        raise CommandError(
            f"--region: invalid value {region!r}: must be the name of a region, such as us-east-1", USAGE
        )
    if not re.fullmatch(_TABLE_NAME, table):
        raise CommandError(
            f"--table: invalid value {table!r}: must be 3 to 255 letters, digits, '_', '.' and '-'", USAGE
        )
    return TableLocation(table, region)


def client_of(location: TableLocation) -> Any:
    """Returns a boto3 DynamoDB client for the table's region."""
    from gco_stream.table.sync_table import dynamodb

    return dynamodb(location.region)


def open_table(table: str, region: str | None) -> "SyncEndpointTable":
    """Returns the table that the options select, without sending a request. Raises CommandError and TableError."""
    from gco_stream.table.sync_table import SyncEndpointTable

    location = locate(table, region)
    return SyncEndpointTable(client_of(location), location.table)


def _names(location: TableLocation) -> list[str]:
    from gco_stream.table.sync_table import SyncEndpointTable, dynamodb

    # Shell completion must not block for long.
    endpoints = SyncEndpointTable(dynamodb(location.region, attempts=1, timeout=1), location.table)
    return sorted(item["endpoint_name"]["S"] for item in endpoints.scan(("endpoint_name",)))


def item_of(table: "SyncEndpointTable", name: str) -> "WireItem":
    """Returns the endpoint's item. Raises CommandError if it does not exist."""
    item = table.get(name)
    if item is None:
        raise CommandError(f"endpoint {name} does not exist", NOT_FOUND)
    return item


def complete_endpoint(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the endpoint names that start with `incomplete`, for shell completion.

    Returns an empty list if the table cannot be read, because shell completion cannot show errors.
    """
    region = context.params.get("region") or next(filter(None, map(os.environ.get, REGION_VARIABLES)), None)
    table = context.params.get("table") or os.environ.get(TABLE_VARIABLE) or DEFAULT_TABLE
    with suppress(AWSError, CommandError):
        return [name for name in _names(locate(table, region)) if name.startswith(incomplete)]
    return []


NameArgument = Annotated[
    str, typer.Argument(autocompletion=complete_endpoint, help="Name of the endpoint.", metavar="NAME")
]
