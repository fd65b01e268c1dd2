"""`gco-stream endpoint …`: what a person asks of endpoints. Every write holds only onto what was read before it."""

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
    """Start a stopped endpoint, or take its deletion back.

    Examples:

      gco-stream endpoint start chat
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired_state(item) in {"deploying", "running"}:
        say(f"{name} unchanged: {_desired_state(item)}")
        return
    endpoints.set_state(item, "deploying")
    say(f"{name} deploying (was {_desired_state(item)})")


@app.command()
def stop(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Stop an endpoint in every region; its item, Service and Deployment stay.

    Examples:

      gco-stream endpoint stop chat && gco-stream endpoint wait chat --for stopped
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired_state(item) == "stopped":
        say(f"{name} unchanged: stopped")
        return
    _refuse_if_deleted(name, item)
    endpoints.set_state(item, "stopped")
    say(f"{name} stopped")


@app.command()
def scale(
    name: NameArgument,
    replicas: Annotated[int, typer.Argument(min=0, max=_MAX_REPLICAS, help="Replicas a region.", metavar="N")],
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
        raise CommandError(f"{name} has no spec to scale; `gco-stream endpoint put` gives it one", USAGE)
    scaling = spec.get("autoscaling")
    if isinstance(scaling, dict) and scaling.get("enabled") is True:
        warn(f"{name} is autoscaled: its replicas follow load, this number is only where it starts")
    if spec.get("replicas") == replicas:
        say(f"{name} unchanged: {replicas} replicas")
        return
    endpoints.scale(item, replicas)
    say(f"{name} scaled to {replicas} (was {spec.get('replicas', 1)})")


@app.command()
def delete(
    name: NameArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is gone from every region.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 600,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Delete an endpoint in every region, and then its item.

    Examples:

      gco-stream endpoint delete chat --wait
    """
    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if _desired_state(item) == "deleted":
        say(f"{name} unchanged: being deleted")
    else:
        endpoints.set_state(item, "deleted")
        say(f"{name} being deleted")
    if wait:
        waiting.wait_for(endpoints, name, waiting.WaitCondition.GONE, timeout)


@app.command()
def hold(
    name: NameArgument,
    why: Annotated[str, typer.Option("--why", help="The reason, shown to whoever looks.", metavar="TEXT")],
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Make every region leave the endpoint as it is, whatever its item says, until it is released.

    Examples:

      gco-stream endpoint hold chat --why "benchmark until Friday, ask Ada"
    """
    if not why.strip():
        raise CommandError("--why: '' is not allowed; allowed: a reason in words", USAGE)
    endpoints = open_table(table, region)
    endpoints.hold(item_of(endpoints, name), why.strip())
    say(f"{name} held: {why.strip()}")


@app.command()
def release(name: NameArgument, table: TableOption = DEFAULT_TABLE, region: RegionOption = None) -> None:
    """Take the hold off an endpoint.

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
    gone: Annotated[str, typer.Argument(help="The region that is no more.", metavar="REGION")],
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Drop the report of a region that is no more, so that a deletion does not wait for it.

    Examples:

      gco-stream endpoint forget-region chat ap-south-2
    """
    from gco_stream.model.endpoint import read_endpoint

    endpoints = open_table(table, region)
    item = item_of(endpoints, name)
    if gone in read_endpoint(item).target_regions:
        raise CommandError(f"{name} targets {gone}: take it out of target_regions first", CONFLICT)
    if gone not in item.get("region_status", {}).get("M", {}):
        say(f"{name} unchanged: {gone} has not reported")
        return
    endpoints.forget_region(item, gone)
    say(f"{name} has forgotten {gone}")


def _desired_state(item: "WireItem") -> str:
    return str(item.get("desired_state", {}).get("S", "deploying"))


def _refuse_if_deleted(name: str, item: "WireItem") -> None:
    if _desired_state(item) == "deleted":
        raise CommandError(f"{name} is being deleted; `gco-stream endpoint start {name}` takes it back", CONFLICT)
