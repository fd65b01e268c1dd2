"""Endpoints whose items disappear, and the scans that find out."""

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

LEASE = "inference-monitor-leader"
# Each scan is evidence for a deletion, so frequent scans show quickly whether anything would be deleted.
OFTEN = {"RESYNC_INTERVAL_SECONDS": "1"}


def put(world: World, *names: str) -> None:
    for name in names:
        world.put(item(name, spec={"gpu_count": 0}))


def stands(world: World) -> set[str]:
    """Returns the endpoints that have live objects that are not terminating."""
    return {
        obj["metadata"]["annotations"].get("gco.io/endpoint", name)
        for name, obj in world.objects().items()
        if "deletionTimestamp" not in obj["metadata"]
    }


def until_running(world: World, program: Program, *names: str) -> None:
    program.until(lambda: all(world.state(name) == "running" for name in names), f"{names} are running")


def take_out(world: World, *names: str) -> None:
    """Deletes the items in one transaction; a scan that finds only some of them is different evidence."""
    keys = [{"TableName": world.table.name, "Key": {"endpoint_name": {"S": name}}} for name in names]
    world.table.client.transact_write_items(TransactItems=[{"Delete": key} for key in keys])


def sample(program: Program, metric: str) -> float:
    lines = program.http("/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0].partition("{")[0] == metric)


def scans(program: Program) -> float:
    return sample(program, "gco_stream_resync_seconds_count")


def after_scans(program: Program, count: int) -> None:
    """Waits for this number of complete scans and for the work that follows from them."""
    last = scans(program) + count
    program.until(lambda: scans(program) >= last, f"{count} more scans")
    program.wait_idle()


def uids(world: World) -> dict[str, str]:
    return {name: obj["metadata"]["uid"] for name, obj in world.objects().items()}
