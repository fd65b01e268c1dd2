"""Model of the election in which at most one replica may lead at any time.

Replicas with clocks of their own face an API server, lost responses, crashes and people who edit the Lease.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.record import ObservedRecord, Timing

pytestmark = pytest.mark.slow

TIMING = Timing(duration=15, renew_deadline=10, retry_period=2, legacy_interval=10)
REPLICAS = st.sampled_from(range(3))
Raw = dict[str, Any]


@dataclass
class Term:
    uid: str
    epoch: int
    expiry: float


@dataclass
class Replica:
    offset: float
    wall_offset: int
    identity: str
    seen: ObservedRecord | None = None
    raw: Raw | None = None
    term: Term | None = None
    sent_epoch: int | None = None


@dataclass
class Sent:
    replica: Replica
    identity: str
    at: float
    raw: Raw
    what: str
    epoch: int


@dataclass
class Server:
    raw: Raw | None = None
    version: int = 0
    made: int = 0

    def put(self, raw: Raw) -> Raw | None:
        """The stored object, or None on a conflict."""
        metadata = raw["metadata"]
        if "uid" in metadata:
            if self.raw is None or any(
                metadata[key] != self.raw["metadata"][key] for key in ("uid", "resourceVersion")
            ):
                return None
        elif self.raw is not None:
            return None
        else:
            self.made += 1
        return self.store(raw, metadata.get("uid", f"uid-{self.made}"))

    def store(self, raw: Raw, uid: str) -> Raw:
        self.version += 1
        metadata = {**raw["metadata"], "uid": uid, "resourceVersion": str(self.version)}
        self.raw = {**raw, "metadata": metadata}
        return self.raw


def identity(number: int) -> str:
    return f"pod_{uuid.UUID(int=number)}"


@dataclass
class World:
    server: Server = field(default_factory=Server)
    # No two clocks agree, and one replica's wall clock is a day behind.
    replicas: list[Replica] = field(
        default_factory=lambda: [
            Replica(0.0, 11, identity(1)),
            Replica(1e6, 5_000_017, identity(2)),
            Replica(7.25, -86_400_000_003, identity(3)),
        ]
    )
    flying: list[Sent] = field(default_factory=list)


class Election(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.world = World()
        self.identities = 3
        self.epochs: dict[str, int] = {}

    def local(self, replica: Replica) -> float:
        return self.now + replica.offset

    def wall(self, replica: Replica) -> int:
        return 1_763_000_000_000_000 + int(self.now * 1e6) + replica.wall_offset

    def look(self, replica: Replica, raw: Raw | None) -> None:
        replica.raw = raw
        record = None if raw is None else lease.parse(raw)
        replica.seen = lease.observe(replica.seen, record, self.local(replica), TIMING)
        if replica.term and not lease.is_held(replica.seen, replica.term.uid, replica.identity):
            replica.term = None

    def edit(self, **spec: Any) -> None:
        raw = self.world.server.raw
        assert raw is not None
        self.world.server.store({**raw, "spec": {**raw.get("spec", {}), **spec}}, raw["metadata"]["uid"])

    def has_been_held(self) -> bool:
        return "spec" in (self.world.server.raw or {})

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 9.0, 14.5, 15.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=REPLICAS)
    def reads(self, number: int) -> None:
        self.look(self.world.replicas[number], self.world.server.raw)

    @rule(number=REPLICAS)
    def tries_to_take(self, number: int) -> None:
        replica = self.world.replicas[number]
        if replica.term or replica.seen is None:
            return
        if lease.wait_before_acquiring(replica.seen, self.local(replica), replica.identity, replica.sent_epoch) > 0:
            return
        epoch = lease.next_epoch(max(replica.seen.epoch, replica.sent_epoch or 0), self.wall(replica))
        replica.sent_epoch = epoch
        raw = lease.acquired(replica.raw or lease.new_lease("ns", "n"), replica.identity, 15, epoch, self.wall(replica))
        self.send(replica, raw, "take", epoch)

    @rule(number=REPLICAS, raised=st.booleans())
    def renews(self, number: int, raised: bool) -> None:
        replica = self.world.replicas[number]
        if replica.term and replica.raw:
            epoch = lease.next_epoch(replica.term.epoch, self.wall(replica)) if raised else replica.term.epoch
            self.send(replica, lease.renewed(replica.raw, 15, epoch, self.wall(replica)), "renew", epoch)

    @rule(number=REPLICAS)
    def stops_and_releases(self, number: int) -> None:
        replica = self.world.replicas[number]
        if replica.term and replica.raw:
            epoch, replica.term = replica.term.epoch, None
            self.send(replica, lease.released(replica.raw, 15, epoch), "release", epoch)

    def send(self, replica: Replica, raw: Raw, what: str, epoch: int) -> None:
        self.world.flying.append(Sent(replica, replica.identity, self.local(replica), raw, what, epoch))

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data(), answered=st.booleans())
    def a_write_arrives(self, data: st.DataObject, answered: bool) -> None:
        sent = self.world.flying.pop(data.draw(st.integers(0, len(self.world.flying) - 1)))
        stored = self.world.server.put(sent.raw)
        replica = sent.replica
        if not answered or replica.identity != sent.identity:
            return
        if stored is None:
            if sent.what == "take" and replica.sent_epoch == sent.epoch:
                replica.sent_epoch = None
            return
        self.look(replica, stored)
        uid = stored["metadata"]["uid"]
        if sent.what == "take" and replica.term is None:
            assert sent.epoch > self.epochs.get(uid, 0)
            replica.term = Term(uid, sent.epoch, sent.at + 15)
        elif sent.what == "renew" and replica.term:
            replica.term.expiry, replica.term.epoch = sent.at + 15, sent.epoch
            replica.sent_epoch = sent.epoch
        if sent.what != "release":
            self.epochs[uid] = max(self.epochs.get(uid, 0), sent.epoch)

    @precondition(lambda self: self.world.flying)
    @rule()
    def a_write_is_lost(self) -> None:
        self.world.flying.pop(0)

    @rule(number=REPLICAS)
    def leadership_is_given_up_at_the_deadline(self, number: int) -> None:
        self.world.replicas[number].term = None

    # A replica that starts while the Lease is missing or blank cannot know that it was ever held.
    @precondition(lambda self: self.has_been_held())
    @rule(number=REPLICAS)
    def crashes_and_starts_again(self, number: int) -> None:
        old = self.world.replicas[number]
        self.identities += 1
        self.world.replicas[number] = Replica(old.offset + 3e5, old.wall_offset, identity(self.identities))

    @precondition(lambda self: self.has_been_held())
    @rule(change=st.sampled_from([{"holderIdentity": ""}, {"holderIdentity": "pod"}, {"leaseDurationSeconds": 1}]))
    def somebody_edits_the_lease(self, change: Raw) -> None:
        raw = self.world.server.raw
        if raw is not None and (change.get("holderIdentity") != "" or raw["spec"].get("renewTime")):
            self.edit(**change)

    @precondition(lambda self: self.world.server.raw is not None)
    @rule(number=REPLICAS)
    def somebody_hands_the_lease_over(self, number: int) -> None:
        self.edit(holderIdentity=self.world.replicas[number].identity)

    @precondition(lambda self: self.world.server.raw is not None)
    @rule(again=st.booleans())
    def somebody_deletes_the_lease(self, again: bool) -> None:
        for replica in self.world.replicas:
            self.look(replica, self.world.server.raw)
        self.world.server.raw = None
        if again:
            self.world.server.made += 1
            self.world.server.store(lease.new_lease("ns", "n"), f"uid-{self.world.server.made}")
            for replica in self.world.replicas:
                self.look(replica, self.world.server.raw)

    @invariant()
    def at_most_one_leads(self) -> None:
        leading = [r for r in self.world.replicas if r.term and self.local(r) < r.term.expiry]
        assert len(leading) <= 1, leading


Election.TestCase.settings = settings(max_examples=80, stateful_step_count=60)
TestAtMostOneLeads = Election.TestCase
