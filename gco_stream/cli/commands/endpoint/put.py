"""`gco-stream endpoint put`: validates all endpoints in a file, then writes them to the table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gco_stream.aws.errors import AlreadyExists, ConcurrentUpdate, ItemNotFound
from gco_stream.cli.commands.endpoint.input_files import Document, read_documents
from gco_stream.cli.errors import CONFLICT, USAGE, CommandError
from gco_stream.cli.options import DEFAULT_TABLE, RegionOption, TableOption, open_table
from gco_stream.cli.output import say, warn

if TYPE_CHECKING:
    from gco_stream.model.wire import WireItem
    from gco_stream.table.sync_table import SyncEndpointTable

_VALID_IDENTITY = {"desired_state": "deploying", "target_regions": ["valid"], "namespace": None, "ingress_path": None}


def put(
    file: Annotated[
        str, typer.Option("--file", "-f", help="YAML or JSON file, or - for standard input.", metavar="FILE")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate and compare, but write nothing.")] = False,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Create endpoints, or replace the spec of existing ones.

    FILE has one or more endpoints: whole items (endpoint_name, target_regions, spec), or a short form with the fields
    of the spec beside name and regions. All are validated before any is written. Replacing the spec of a stopped
    endpoint also starts it.

    Examples:

      gco-stream endpoint put -f chat.yaml

      gco-stream endpoint put -f all.json --dry-run

      gco-stream endpoint get chat -o yaml --show-secrets | sed s/1.0/1.1/ | gco-stream endpoint put -f -
    """
    documents = read_documents(file)
    check(documents)
    endpoints = open_table(table, region)
    conflicts = []
    for document in documents:
        try:
            say(f"{document.name} {_put(endpoints, document, dry_run=dry_run)}{' (dry run)' if dry_run else ''}")
        except (AlreadyExists, ConcurrentUpdate, ItemNotFound) as error:
            conflicts.append(str(error))
    if conflicts:
        raise CommandError("\n".join(conflicts), CONFLICT)


def check(documents: list[Document]) -> None:
    """Validates all documents and prints their warnings. Raises CommandError with all problems."""
    degraded_reasons = [f"{document.source}: {line}" for document in documents for line in _problems(document.item)]
    if degraded_reasons:
        raise CommandError("\n".join(degraded_reasons), USAGE)
    for document in documents:
        for message in _warnings(document.item):
            warn(f"{document.source}: {message}")


def _problems(item: Mapping[str, Any]) -> Iterator[str]:
    from gco_stream.model import wire
    from gco_stream.model.item.endpoint import InvalidItem, read_endpoint

    endpoint = read_endpoint(wire.encode(item))
    if isinstance(endpoint, InvalidItem):
        yield from map(str, endpoint.problems)
        endpoint = read_endpoint(wire.encode({**item, **_VALID_IDENTITY, "endpoint_name": "valid"}))
    if not isinstance(endpoint, InvalidItem):
        yield from map(str, endpoint.all_problems)


def _warnings(item: Mapping[str, Any]) -> list[str]:
    from gco_stream.model import wire
    from gco_stream.model.item.endpoint import Endpoint, read_endpoint

    endpoint = read_endpoint(wire.encode(item))
    if not isinstance(endpoint, Endpoint):
        return []
    regions = sorted(endpoint.target_regions)
    return list(dict.fromkeys(str(one) for region in regions for one in endpoint.warnings_in(region)))


@dataclass(frozen=True, slots=True)
class _Replacement:
    spec: Mapping[str, Any]
    others: Mapping[str, Any]


def _put(endpoints: "SyncEndpointTable", document: Document, *, dry_run: bool) -> str:
    """Writes one document, except in a dry run, and returns the outcome as text, for example "unchanged"."""
    last_read = endpoints.get(document.name)
    if last_read is None:
        if not dry_run:
            names = {"endpoint_name": document.name, "ingress_path": f"/inference/{document.name}"}
            endpoints.create({**names, "spec": document.item["spec"], **_others(document.item)})
        return "created"
    if last_read.get("desired_state") == {"S": "deleted"} and document.item.get("desired_state") != "deleted":
        raise CommandError(
            f"{document.name} is being deleted; `gco-stream endpoint wait {document.name} --for gone` waits for that, "
            f"`gco-stream endpoint start {document.name}` cancels it",
            CONFLICT,
        )
    replacement = _Replacement(document.item["spec"], _others(document.item))
    if _is_same(last_read, replacement):
        return "unchanged"
    before = last_read.get("desired_state", {}).get("S", "")
    if not dry_run:
        endpoints.replace_spec(last_read, replacement.spec, **replacement.others)
    after = replacement.others.get("desired_state", "deploying")
    return "configured" if before in {"deploying", "running", after} else f"configured; now {after} (was {before})"


def _others(item: Mapping[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in item.items() if name not in {"endpoint_name", "spec"}}
    if others.get("desired_state") == "running":
        # Only the controller sets `running`, after every target region has reported it.
        others["desired_state"] = "deploying"
    return others


def _is_same(last_read: "WireItem", replacement: _Replacement) -> bool:
    from gco_stream.model import wire

    item = {**last_read, **wire.encode({"desired_state": "deploying", **replacement.others, "spec": replacement.spec})}
    return wire.intent_of(item) == wire.intent_of(last_read) and wire.change_digest(
        {**item, "desired_state": {"S": "-"}}
    ) == wire.change_digest({**last_read, "desired_state": {"S": "-"}})
