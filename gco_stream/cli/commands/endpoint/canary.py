"""`gco-stream endpoint canary|promote|rollback`: a second version beside the main one, and how it ends."""

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
            help="What the canary runs; a new one needs it, without it one that runs keeps its own.",
            metavar="IMAGE",
        ),
    ] = None,
    weight: Annotated[
        int | None,
        typer.Option("--weight", min=0, max=100, help="Its share of traffic in %; 10 by default, or what it has."),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", min=0, help="Its replicas in each region; 1 by default, or what it has.")
    ] = None,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Run a second version beside the main one, or change its share of the traffic.

    A new canary has 10 % and one replica unless told otherwise; of one that runs, only what is named changes. It gets
    traffic once it is ready, and none while it is not.

    Examples:

      gco-stream endpoint canary chat --image registry.example/serve:2.0 --weight 5

      gco-stream endpoint canary chat --weight 50
    """
    endpoints, item, spec = _open(name, table, region)
    changes = {"image": image, "weight": weight, "replicas": replicas}
    new_spec = with_canary(spec, {field: value for field, value in changes.items() if value is not None})
    if not new_spec["canary"].get("image"):
        raise CommandError(f"{name} has no canary yet: --image names what it runs", USAGE)
    shown = new_spec["canary"]
    words = f"canary {shown['image']} at {shown.get('weight', 10)} %"
    _write(endpoints, item, spec, new_spec, f"{name} has {words}", f"{name} unchanged: {words}")


def promote(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Make the canary's version the main one, in every region, and end the canary.

    The canary keeps its share until the main has rolled out.

    Examples:

      gco-stream endpoint promote chat && gco-stream endpoint wait chat --for running
    """
    endpoints, item, spec = _open(name, table, region)
    if not spec.get("canary"):
        raise CommandError(f"{name} has no canary to promote", CONFLICT)
    new_spec = promoted(spec)
    _write(endpoints, item, spec, new_spec, f"{name} runs {new_spec['image']} now (was {spec.get('image')})", "")


def rollback(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Take the canary away; the main version gets all traffic again.

    Its route goes first, its pods once its connections have drained.

    Examples:

      gco-stream endpoint rollback chat
    """
    endpoints, item, spec = _open(name, table, region)
    if not spec.get("canary"):
        say(f"{name} unchanged: it has no canary")
        return
    _write(endpoints, item, spec, without_canary(spec), f"{name} has no canary any more", "")


def with_canary(spec: Spec, changes: Spec) -> dict[str, Any]:
    """The spec with these attributes of its canary, and the others as they were."""
    return {**spec, "canary": {**(spec.get("canary") or {}), **changes}}


def without_canary(spec: Spec) -> dict[str, Any]:
    """The spec with the main version alone."""
    return {field: value for field, value in spec.items() if field != "canary"}


def promoted(spec: Spec) -> dict[str, Any]:
    """The spec whose main version is what the canary ran, region by region.

    A canary does not run the main's images of single regions, so these go, and the canary's own take their place.
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
    desired_state = plain.get("desired_state", "deploying")
    # A new spec asks for the endpoint to run, as all of GCO's tools have it.
    if desired_state not in {"deploying", "running"}:
        raise CommandError(f"{name} is {desired_state}; `gco-stream endpoint start {name}` comes first", CONFLICT)
    spec = plain.get("spec")
    if not isinstance(spec, dict):
        raise CommandError(f"{name} has no spec; `gco-stream endpoint put` gives it one", USAGE)
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
    from gco_stream.model.endpoint import InvalidItem, read_endpoint

    if new_spec == before:
        say(unchanged)
        return
    endpoint = read_endpoint({**item, **wire.encode({"spec": new_spec})})
    problems = endpoint.problems if isinstance(endpoint, InvalidItem) else endpoint.spec_problems
    if problems:
        raise CommandError("\n".join(map(str, problems)), USAGE)
    endpoints.replace_spec(item, new_spec)
    say(done_message)
