"""Several replicas of the program on one Lease, each with its own user, so that the audit log can tell them apart.

Each may have its own relay in front of the API server, which can cut off this replica alone.
"""

import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
import urllib3

from gco_stream.aws.errors import ConcurrentUpdate
from gco_stream.local.audit import Call
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model.objects import JsonObject
from gco_stream.settings import LEASE_NAME
from tests.chaos.leadership import audited_writes as acting
from tests.chaos.leadership.audited_writes import LeaderWrite
from tests.chaos.proxies.relay import Relay
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World

# The gap between deadline and duration lets a leader shut down even on a busy machine. A longer stall rightly costs the
# leader its lease, so tests determine who leads.
DURATION, DEADLINE, RETRY = 8, 5.0, 0.4
# For tests in which no replica waits for a lease to expire.
LONG_DURATION = 60
# Exit code of the self-fence: the leader did not shut down before its lease expired.
BURNT = 14
PATIENCE = 120.0
SHORT_LEASE = {
    "LEASE_DURATION_SECONDS": f"{DURATION}",
    "LEASE_RENEW_DEADLINE_SECONDS": f"{DEADLINE}",
    "LEASE_RETRY_PERIOD_SECONDS": f"{RETRY}",
    "CANARY_DRAIN_SECONDS": "1",
}
LONG_LEASE = {"LEASE_DURATION_SECONDS": f"{LONG_DURATION}", "LEASE_RENEW_DEADLINE_SECONDS": f"{LONG_DURATION / 2:g}"}


class Replica:
    """One replica: its program, its user, and optional relays in front of its servers."""

    def __init__(self, program: Program, user: str, api_server: Relay | None, dynamodb: Relay | None) -> None:
        self.program = program
        self.user = user
        self._api_server = api_server
        self._dynamodb = dynamodb

    @property
    def api_server(self) -> Relay:
        assert self._api_server is not None
        return self._api_server

    @property
    def dynamodb(self) -> Relay:
        assert self._dynamodb is not None
        return self._dynamodb

    @property
    def host(self) -> str:
        return self.user.rpartition(":")[2]

    def http_state(self) -> dict[str, Any]:
        """Returns the program's status, {} if it does not respond."""
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return self.program.status()
        return {}

    def is_leading(self) -> bool:
        return bool((self.http_state().get("leader") or {}).get("leading"))

    def is_working(self) -> bool:
        return bool(self.http_state().get("working"))

    def is_standing_by(self) -> bool:
        """Whether the replica knows the leader, is not the leader, and is ready."""
        look = self.http_state()
        return bool(look) and bool(look["leader"]["holder"]) and not look["leader"]["leading"] and self.is_ready()

    def is_ready(self) -> bool:
        return self.readiness()[0] == 200

    def readiness(self) -> tuple[int, str]:
        """Returns the response of /readyz, (0, "") if there is none."""
        with contextlib.suppress(StopIteration, urllib3.exceptions.HTTPError):
            return self.program.http("/readyz")
        return 0, ""

    def has_ended(self) -> bool:
        """Whether the process has exited."""
        try:
            return psutil.Process(self.program.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def restart(self) -> None:
        """Restarts a replica that was ended by its self-fence, as the kubelet would."""
        if self.has_ended() and self.program.stop() == BURNT:
            self.program.start()

    def has_stepped_down(self, since: int) -> bool:
        """Whether it stopped leading after line `since` of its log, by itself or by its self-fence and a restart."""
        return bool(self.logged("leadership lost", since) or self.logged("started", since))

    def logged(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        """Returns the log lines with this event, from line `since`."""
        return [line for line in self.program.lines()[since:] if line.get("message") == event]

    def until(self, look: Callable[["Replica"], object], what: str) -> "Replica":
        """Waits until the condition holds for this replica, restarting it after a self-fence."""

        def looked() -> object:
            self.restart()
            return look(self)

        self.program.until(looked, f"{self.host}: {what}", PATIENCE)
        return self

    def freeze(self) -> None:
        self.program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.program.signal(signal.SIGCONT)


class Replicas:
    """Starts the replicas of one World, and reads the Lease and the writes of all replicas."""

    def __init__(
        self, plane: ControlPlane, world: World, program: Callable[..., Program], folder: Path, stack: ExitStack
    ) -> None:
        self.world = world
        self.all: list[Replica] = []
        self.duration = DURATION
        self._settings = SHORT_LEASE
        self._plane = plane
        self._program = program
        self._folder = folder
        self._stack = stack
        self._mark = plane.audit.mark()
        self._path = path_of("Lease", world.namespace, LEASE_NAME)

    def hold_for_long(self) -> None:
        """Makes leases of later replicas outlast a machine that stalls for half a minute."""
        self.duration = LONG_DURATION
        self._settings = SHORT_LEASE | LONG_LEASE

    def start(self, *, relayed: bool = False, relayed_dynamodb: bool = False, **settings: str) -> Replica:
        """Starts another replica with its own user."""
        host = f"r{len(self.all)}"
        user = f"{self.world.namespace}:{host}"
        kubeconfig = self._plane.kubeconfig_for(user)
        api_server = self._relay(self._plane.server_url) if relayed else None
        dynamodb = self._relay(self._plane.dynamodb_url) if relayed_dynamodb else None
        if api_server is not None:
            kubeconfig = self._through(api_server, kubeconfig, host)
        if dynamodb is not None:
            address = f"http://127.0.0.1:{dynamodb.port}"
            settings |= {"AWS_ENDPOINT_URL_DYNAMODB": address, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": address}
        environment = {"KUBECONFIG": str(kubeconfig), "HOSTNAME": host, **self._settings, **settings}
        one = Replica(self._program(**environment), user, api_server, dynamodb)
        self.all.append(one)
        return one

    def leader(self, **options: Any) -> Replica:
        """Starts the first replica and waits until it leads and works."""
        one = self.start(**options)
        return one.until(Replica.is_working, "leads and works")

    def standby(self, **options: Any) -> Replica:
        """Starts another replica and waits until it stands by."""
        one = self.start(**options)
        return one.until(Replica.is_standing_by, "stands by")

    def next_to_write(self, *, but: Replica | None = None) -> Replica:
        """Returns the replica that writes to the cluster next, `but` excluded; there must be something to write."""
        mark = self.mark()
        by_user = {one.user: one for one in self.all if one is not but}

        def writers() -> list[Replica]:
            for one in self.all:
                one.restart()
            return [by_user[act.user] for act in acting.changes(self.leader_writes(mark)) if act.user in by_user]

        return self.world.kube.wait_for(writers, timeout=PATIENCE, what="a replica to write")[0]

    def leading(self) -> Replica:
        """Returns the replica that leads and works now."""

        def found() -> list[Replica]:
            for one in self.all:
                one.restart()
            return [one for one in self.all if one.is_leading() and one.is_working()]

        return self.world.kube.wait_for(found, timeout=PATIENCE, what="a replica to lead and work")[0]

    def other_than(self, one: Replica) -> Replica:
        """Returns the other one of two replicas."""
        (other,) = (found for found in self.all if found is not one)
        return other

    def lease(self) -> JsonObject:
        found = self.world.kube.find(self._path)
        return {} if found is None else found

    @property
    def holder(self) -> str:
        """The host of the replica that holds the Lease, "" if there is none."""
        return str((self.lease().get("spec") or {}).get("holderIdentity") or "").partition("_")[0]

    def edit(self, patch: JsonObject) -> None:
        """Applies a merge patch to the Lease, as a user would with kubectl."""
        self.world.kube.patch(self._path, patch)

    def delete(self) -> None:
        self.world.kube.delete(self._path)

    def leader_writes(self, since: int | None = None) -> list[LeaderWrite]:
        """Returns the writes of all replicas to the API server since the start of the test, or since a mark."""
        users = [one.user for one in self.all]
        return acting.leader_writes(self._plane.audit, users, self._mark if since is None else since)

    def calls(self, since: int) -> list[Call]:
        """Returns all calls of the replicas since a mark, including watches that have ended."""
        users = {one.user for one in self.all}
        return [call for call in self._plane.audit.calls(since) if call.user in users]

    def mark(self) -> int:
        return self._plane.audit.mark()

    def assert_one_leader_at_a_time(self) -> list[LeaderWrite]:
        """Asserts that only leaders wrote to the cluster and the table; returns all writes."""
        all_acts = self.leader_writes()
        found = acting.violations(all_acts, self.duration)
        assert not found, "\n".join(found)
        acting.epochs_in_order(self.records())
        return all_acts

    def records(self) -> Iterator[dict[str, Any]]:
        """Yields every record of the table's stream so far."""
        streams, arn = self.world.table.streams, self.world.table.stream_arn
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                page = streams.get_records(ShardIterator=iterator)
                yield from page["Records"]
                iterator = page.get("NextShardIterator") if page["Records"] else None

    def _relay(self, url: str) -> Relay:
        return self._stack.enter_context(Relay(urlsplit(url).port or 0))

    def _through(self, relay: Relay, kubeconfig: Path, host: str) -> Path:
        config = orjson.loads(kubeconfig.read_bytes())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
        path = self._folder / f"kubeconfig-{host}"
        path.write_bytes(orjson.dumps(config))
        return path


@pytest.fixture
def replicas(
    control_plane: ControlPlane, world: World, program: Callable[..., Program], tmp_path: Path
) -> Iterator[Replicas]:
    """Replicas on the test's own table and namespace; the `program` fixture stops them."""
    with ExitStack() as relays:
        yield Replicas(control_plane, world, program, tmp_path, relays)


@contextmanager
def changing(world: World, names: Sequence[str], rng: random.Random, pause: float = 0.02) -> Iterator[None]:
    """Keeps changing the replica counts of these endpoints, one at a time, within the block."""
    over = threading.Event()
    own_rng = random.Random(rng.random())

    def change() -> None:
        while not over.wait(pause):
            # The endpoint may have been promoted since it was read.
            with contextlib.suppress(ConcurrentUpdate):
                world.update_spec(own_rng.choice(names), replicas=own_rng.randrange(1, 4))

    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(change)
        try:
            yield
        finally:
            over.set()
            changes.result()
