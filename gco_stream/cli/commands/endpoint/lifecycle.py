"""`gco-stream endpoint …`: manages endpoints.

A write to the table fails if the endpoint's desired state or hold has changed since the item was read.
"""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.commands.endpoint import canary, put, upgrade
from gco_stream.cli.commands.endpoint import get as show
from gco_stream.cli.commands.endpoint import wait as waiting
from gco_stream.cli.errors import CONFLICT, USAGE, CommandError
from gco_stream.cli.options import DEFAULT_TABLE, NameArgument, RegionOption, TableOption, item_of, open_table
from gco_stream.cli.output import say, warn

if TYPE_CHECKING:
    from gco_stream.model.wire import WireItem

_MAX_REPLICAS: Final = 10_000

app = typer.Typer(no_args_is_help=True, help="Create, change, show and delete endpoints.")
app.command("put")(put.put)
app.command("get")(show.get)
app.command("list")(show.list_endpoints)
app.command("wait")(waiting.wait)
app.command("upgrade")(upgrade.upgrade)
app.command("canary")(canary.canary)
app.command("promote")(canary.promote)
app.command("rollback")(canary.rollback)


@app.command()
def start(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Start a stopped endpoint, or cancel its deletion.

    Examples:

      gco-stream endpoint start chat
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired(item) in {"deploying", "running"}:
        say(f"{name} unchanged: {_desired(item)}")
        return
    endpoints.set_state(item, "deploying")
    say(f"{name} deploying (was {_desired(item)})")


@app.command()
def stop(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Stop an endpoint in every region. Its item, Service and Deployment remain.

    Examples:

      gco-stream endpoint stop chat && gco-stream endpoint wait chat --for stopped
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired(item) == "stopped":
        say(f"{name} unchanged: stopped")
        return
    _refuse_if_deleted(name, item)
    endpoints.set_state(item, "stopped")
    say(f"{name} stopped")


@app.command()
def scale(
    name: NameArgument,
    replicas: Annotated[int, typer.Argument(min=0, max=_MAX_REPLICAS, help="Replicas in each region.", metavar="N")],
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Set the number of replicas in each region.

    Examples:

      gco-stream endpoint scale chat 4
    """
    from gco_stream.model import wire

    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    _refuse_if_deleted(name, item)
    spec = wire.decode(item).get("spec")
    if not isinstance(spec, dict):
        raise CommandError(f"{name} has no spec; set one with `gco-stream endpoint put`", USAGE)
    scaling = spec.get("autoscaling")
    if isinstance(scaling, dict) and scaling.get("enabled") is True:
        warn(f"{name} is autoscaled: this is only its initial number of replicas")
    if spec.get("replicas") == replicas:
        say(f"{name} unchanged: {replicas} replicas")
        return
    endpoints.scale(item, replicas)
    say(f"{name} scaled to {replicas} (was {spec.get('replicas', 1)})")


@app.command()
def delete(
    name: NameArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the endpoint is deleted in every region.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Maximum time to wait, in seconds.")] = 600,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Delete an endpoint in every region, then its item.

    Examples:

      gco-stream endpoint delete chat --wait
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired(item) == "deleted":
        say(f"{name} unchanged: being deleted")
    else:
        endpoints.set_state(item, "deleted")
        say(f"{name} being deleted")
    if wait:
        waiting.wait_for(endpoints, name, waiting.WaitCondition.GONE, timeout)


@app.command()
def hold(
    name: NameArgument,
    why: Annotated[str, typer.Option("--why", help="Reason for the hold, shown to other users.", metavar="TEXT")],
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Stop every region from changing the endpoint until it is released.

    Examples:

      gco-stream endpoint hold chat --why "benchmark until Friday, ask Ada"
    """
    from gco_stream.model.item.endpoint import hold_reason

    if hold_reason(why) is None:
        raise CommandError(f"--why: invalid value {why!r}: must be a reason, because this text holds nothing", USAGE)
    endpoints = open_table(table, region)
    endpoints.hold(item_of(endpoints, name), why.strip())
    say(f"{name} held: {why.strip()}")


@app.command()
def release(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Remove the hold of an endpoint.

    Examples:

      gco-stream endpoint release chat
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if "hold" not in item:
        say(f"{name} unchanged: not held")
        return
    endpoints.release(item)
    say(f"{name} released")


@app.command("forget-region")
def forget_region(
    name: NameArgument,
    gone: Annotated[str, typer.Argument(help="Name of the decommissioned region.", metavar="REGION")],
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Remove the report of a decommissioned region, so that a deletion does not wait for it.

    Examples:

      gco-stream endpoint forget-region chat ap-south-2
    """
    from gco_stream.model.item.endpoint import read_endpoint

    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if gone in read_endpoint(item).target_regions:
        raise CommandError(f"{name} targets {gone}: remove it from target_regions first", CONFLICT)
    if gone not in item.get("region_status", {}).get("M", {}):
        say(f"{name} unchanged: {gone} has not reported")
        return
    endpoints.forget_region(item, gone)
    say(f"{name}: report of {gone} removed")


def _desired(item: "WireItem") -> str:
    return str(item.get("desired_state", {}).get("S", "deploying"))


def _refuse_if_deleted(name: str, item: "WireItem") -> None:
    if _desired(item) == "deleted":
        raise CommandError(f"{name} is being deleted; to cancel, run `gco-stream endpoint start {name}`", CONFLICT)
