"""Proves from the API server's audit log that no replica ever acted without being the leader.

Every replica must have a user of its own (`ControlPlane.kubeconfig_for`). A successful write of the Lease by a replica
is its proof that it leads: it takes it, renews it, or lets it go. Each must have named the version before it, so each
was received after the one before had happened, and their order is certain. What is shown of every other write:

* from its receipt to its completion nobody else has written the Lease since its sender did, so that no two replicas act
  at once, not even by a call that lands late, nor one after another took over;
* it was received within the lease's duration after its sender's last proof, so that a replica that can prove nothing
  has stopped by itself, before anybody could see its lease run out.

All times are the API server's own, so clocks of programs may be anything. A write that is refused counts as well: its
sender acted. Events (events.k8s.io) do not count: they tell what has been done and change nothing. Of the table the
epochs in its stream's records tell the same (`epochs_in_order`).
"""

import bisect
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from gco_stream.local.audit import AuditLog
from gco_stream.settings import LEASE_NAME

_WRITES: Final = {"create", "update", "patch", "delete", "deletecollection"}
_EVENT_RESOURCES: Final = {"events"}
_LEASES: Final = "leases"
_SUCCESSES: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class LeaderWrite:
    """A write that has been completed or given up. Times are microseconds since 1970, by the API server's clock."""

    user: str
    verb: str
    resource: str
    name: str
    status: int
    received: int
    completed: int

    @property
    def proves_leadership(self) -> bool:
        """Whether its sender held the Lease then."""
        return self.resource == _LEASES and self.status in _SUCCESSES

    def __str__(self) -> str:
        times = "-".join(_time(when).strftime("%H:%M:%S.%f") for when in (self.received, self.completed))
        return f"{times} {self.user}: {self.verb} {self.resource}/{self.name} ({self.status})"


def leader_writes(audit: AuditLog, users: Collection[str], since: int = 0) -> list[LeaderWrite]:
    """The writes of these users after the mark `since`, in the order in which they were received."""
    found = []
    with audit.path.open("rb") as file:
        file.seek(since)
        for line in file:
            # Each event is a line; most are of others.
            if line.endswith(b"\n") and any(user.encode() in line for user in users):
                found += _writes_of(orjson.loads(line), users)
    return sorted(found, key=lambda act: act.received)


def violations(all_acts: Sequence[LeaderWrite], duration: float) -> list[str]:
    """What was done by a replica that was not the leader, a sentence each; `duration`: seconds that a lease holds."""
    proofs = [act for act in all_acts if act.proves_leadership]
    times = [act.received for act in proofs]
    found = []
    for act in all_acts:
        if act.resource in _EVENT_RESOURCES or act.resource == _LEASES:
            continue
        before = bisect.bisect_right(times, act.received)
        if not before or proofs[before - 1].user != act.user:
            found.append(f"{act}, while {f'the last proof is {proofs[before - 1]}' if before else 'nobody led'}")
            continue
        during = proofs[before : bisect.bisect_right(times, act.completed)]
        found += [f"{act} was not over when another led: {proof}" for proof in during if proof.user != act.user][:1]
        if act.received > proofs[before - 1].received + duration * 1e6:
            found.append(f"{act}, with a lease that has run out: {proofs[before - 1]}")
    return found


def terms(all_acts: Iterable[LeaderWrite]) -> list[list[LeaderWrite]]:
    """The proofs of each term, in order. One that lets go and takes the Lease again before others has one term."""
    found: list[list[LeaderWrite]] = []
    for act in all_acts:
        if act.proves_leadership:
            if not found or found[-1][0].user != act.user:
                found.append([])
            found[-1].append(act)
    return found


def changes(all_acts: Iterable[LeaderWrite]) -> list[LeaderWrite]:
    """What was done to the cluster: neither the Lease nor Events."""
    return [act for act in all_acts if act.resource not in _EVENT_RESOURCES and act.resource != _LEASES]


def epochs_in_order(records: Iterable[dict[str, Any]]) -> list[int]:
    """The epochs of the region reports in a stream's records (in wire form), each once.

    Raises AssertionError where a report of an earlier leader follows one of a later leader's in the same region and
    item.
    """
    last: dict[tuple[str, str], int] = {}
    seen: dict[int, None] = {}
    for record in records:
        image = record["dynamodb"].get("NewImage", {})
        name = record["dynamodb"]["Keys"]["endpoint_name"]["S"]
        for region, entry in image.get("region_status", {}).get("M", {}).items():
            epoch = int(entry["M"].get("epoch", {}).get("N", 0))
            before = last.get((name, region), 0)
            assert epoch >= before, f"{name}, {region}: a report of epoch {epoch} after one of {before}"
            last[name, region] = epoch
            seen[epoch] = None
    return list(seen)


def _writes_of(event: dict[str, Any], users: Collection[str]) -> list[LeaderWrite]:
    about = event.get("objectRef", {})
    user = event["user"].get("username", "")
    resource = about.get("resource", "")
    if user not in users or event["verb"] not in _WRITES or event["stage"] == "ResponseStarted":
        return []
    if resource == _LEASES and about.get("name", LEASE_NAME) != LEASE_NAME:
        return []
    return [
        LeaderWrite(
            user=user,
            verb=event["verb"],
            resource=resource,
            name=about.get("name", ""),
            status=event.get("responseStatus", {}).get("code", 0),
            received=_microseconds(event["requestReceivedTimestamp"]),
            completed=_microseconds(event["stageTimestamp"]),
        )
    ]


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
