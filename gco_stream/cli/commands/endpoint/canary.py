"""`gco-stream endpoint canary|promote|rollback`: sets, promotes or removes the canary of an endpoint."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gco_stream.cli.errors import CONFLICT, USAGE, CommandError
from gco_stream.cli.options import DEFAULT_TABLE, NameArgument, RegionOption, TableOption, item_of, open_table
from gco_stream.cli.output import say

if TYPE_CHECKING:
    from gco_stream.model.wire import WireItem
    from gco_stream.table.sync_table import SyncEndpointTable

Spec = Mapping[str, Any]


def canary(
    name: NameArgument,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            help="Image of the canary. By default, the current one; required for a new canary.",
            metavar="IMAGE",
        ),
    ] = None,
    weight: Annotated[
        int | None,
        typer.Option(
            "--weight",
            min=0,
            max=100,
            help="Percentage of the traffic. By default, the current one; 10 for a new canary.",
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas", min=0, help="Replicas in each region. By default, the current number; 1 for a new canary."
        ),
    ] = None,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Run a second version beside the main version, or change its share of the traffic.

    By default, a new canary has one replica and gets 10% of the traffic. For an existing canary, only the given options
    change. The canary gets traffic only while it is ready.

    Examples:

      gco-stream endpoint canary chat --image registry.example/serve:2.0 --weight 5

      gco-stream endpoint canary chat --weight 50
    """
    endpoints, item, spec = _open(name, table, region)
    options = {"image": image, "weight": weight, "replicas": replicas}
    new_spec = with_canary(spec, {field: value for field, value in options.items() if value is not None})
    if not new_spec["canary"].get("image"):
        raise CommandError(f"--image: missing required value: {name} has no canary yet", USAGE)
    shown = new_spec["canary"]
    description = f"canary {shown['image']} with {shown.get('weight', 10)}% of the traffic"
    _write(endpoints, item, spec, new_spec, f"{name}: {description}", f"{name} unchanged: {description}")


def promote(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Make the canary's version the main version in every region, and remove the canary.

    The canary keeps its share of the traffic until the main version has rolled out.

    Examples:

      gco-stream endpoint promote chat && gco-stream endpoint wait chat --for running
    """
    endpoints, item, spec = _open(name, table, region)
    canary = spec.get("canary")
    if not isinstance(canary, dict) or not canary.get("image"):
        raise CommandError(f"{name} has no canary to promote", CONFLICT)
    new_spec = promoted(spec)
    _write(endpoints, item, spec, new_spec, f"{name} promoted to {new_spec['image']} (was {spec.get('image')})", "")


def rollback(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Remove the canary; the main version gets all traffic again.

    Its route is removed first. Its pods are deleted after their connections have drained.

    Examples:

      gco-stream endpoint rollback chat
    """
    endpoints, item, spec = _open(name, table, region)
    if not spec.get("canary"):
        say(f"{name} unchanged: it has no canary")
        return
    _write(endpoints, item, spec, without_canary(spec), f"{name}: canary removed", "")


def with_canary(spec: Spec, changes: Spec) -> dict[str, Any]:
    """Returns the spec with `changes` applied to its canary, which is added if the spec has none."""
    before = spec.get("canary")
    return {**spec, "canary": {**(before if isinstance(before, dict) else {}), **changes}}


def without_canary(spec: Spec) -> dict[str, Any]:
    """Returns the spec without its canary."""
    return {field: value for field, value in spec.items() if field != "canary"}


def promoted(spec: Spec) -> dict[str, Any]:
    """Returns the spec with the canary's images as the images of the main version, and without the canary.

    The previous `region_image_uris` are dropped even if the canary has none, because the canary did not run them.
    """
    ran = spec["canary"]
    new_spec = {field: value for field, value in without_canary(spec).items() if field != "region_image_uris"}
    new_spec["image"] = ran["image"]
    if ran.get("region_image_uris"):
        new_spec["region_image_uris"] = ran["region_image_uris"]
    return new_spec


def _open(name: str, table: str, region: str | None) -> tuple["SyncEndpointTable", "WireItem", Spec]:
    from gco_stream.model import wire

    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    plain = wire.decode(item)
    desired = plain.get("desired_state", "deploying")
    # Replacing the spec also starts the endpoint, as in all GCO tools. Users must start a stopped endpoint explicitly.
    if desired not in {"deploying", "running"}:
        raise CommandError(f"{name} is {desired}; run `gco-stream endpoint start {name}` first", CONFLICT)
    spec = plain.get("spec")
    if not isinstance(spec, dict):
        raise CommandError(f"{name} has no spec; set one with `gco-stream endpoint put`", USAGE)
    return endpoints, item, spec


def _write(
    endpoints: "SyncEndpointTable",
    item: "WireItem",
    before: Spec,
    new_spec: dict[str, Any],
    done_message: str,
    unchanged: str,
) -> None:
    from gco_stream.model import wire
    from gco_stream.model.item.endpoint import InvalidItem, read_endpoint

    if new_spec == before:
        say(unchanged)
        return
    endpoint = read_endpoint({**item, **wire.encode({"spec": new_spec})})
    problems = endpoint.problems if isinstance(endpoint, InvalidItem) else endpoint.all_problems
    if problems:
        raise CommandError("\n".join(map(str, problems)), USAGE)
    endpoints.replace_spec(item, new_spec)
    say(done_message)
