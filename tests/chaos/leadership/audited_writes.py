"""Proves from the API server's audit log that no replica ever wrote without being the leader.

Every replica must have its own user (`ControlPlane.kubeconfig_for`). A successful write of the Lease by a replica (to
acquire, renew or release it) proves that the replica leads. Each such write names the previous version of the Lease, so
it was received after the previous one was done, and their order is certain. For every other write, two things must
hold:

* between its receipt and its completion, no other replica has written the Lease since the sender last did: no two
  replicas write at once, not even if a call arrives late or a new leader takes over in between;
* it was received within the lease duration after the sender's last proof: a replica that can no longer prove that it
  leads stopped by itself before another could see its lease expire.

All times are the API server's, so the clocks of the programs do not matter. A rejected write counts as well: its sender
tried to write. Events (events.k8s.io) do not count: they only report. For writes to the table, the epochs in the
records of its stream prove the same (`epochs_in_order`).
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
    """A write that was completed or abandoned. Times are microseconds since 1970, by the API server's clock."""

    user: str
    verb: str
    resource: str
    name: str
    status: int
    received: int
    completed: int

    @property
    def proves_leadership(self) -> bool:
        """Whether its sender held the Lease at that time."""
        return self.resource == _LEASES and self.status in _SUCCESSES

    def __str__(self) -> str:
        times = "-".join(_time(when).strftime("%H:%M:%S.%f") for when in (self.received, self.completed))
        return f"{times} {self.user}: {self.verb} {self.resource}/{self.name} ({self.status})"


def leader_writes(audit: AuditLog, users: Collection[str], since: int = 0) -> list[LeaderWrite]:
    """Returns these users' writes after the mark `since`, in the order of their receipt."""
    found = []
    with audit.path.open("rb") as file:
        file.seek(since)
        for line in file:
            # One event per line; most events are from other users.
            if line.endswith(b"\n") and any(user.encode() in line for user in users):
                found += _writes_of(orjson.loads(line), users)
    return sorted(found, key=lambda act: act.received)


def violations(all_acts: Sequence[LeaderWrite], duration: float) -> list[str]:
    """Describes every write by a replica that was not the leader; `duration` is the lease duration in seconds."""
    proofs = [act for act in all_acts if act.proves_leadership]
    times = [act.received for act in proofs]
    found = []
    for act in all_acts:
        if act.resource in _EVENT_RESOURCES or act.resource == _LEASES:
            continue
        before = bisect.bisect_right(times, act.received)
        if not before or proofs[before - 1].user != act.user:
            found.append(
                f"{act}, while {f'the last proof is {proofs[before - 1]}' if before else 'there was no leader'}"
            )
            continue
        during = proofs[before : bisect.bisect_right(times, act.completed)]
        found += [
            f"{act} was still in flight when another replica led: {proof}" for proof in during if proof.user != act.user
        ][:1]
        if act.received > proofs[before - 1].received + duration * 1e6:
            found.append(f"{act}, with an expired lease: {proofs[before - 1]}")
    return found


def terms(all_acts: Iterable[LeaderWrite]) -> list[list[LeaderWrite]]:
    """Returns the proofs of each term, in order. A leader that releases and reacquires the Lease has a single term."""
    found: list[list[LeaderWrite]] = []
    for act in all_acts:
        if act.proves_leadership:
            if not found or found[-1][0].user != act.user:
                found.append([])
            found[-1].append(act)
    return found


def changes(all_acts: Iterable[LeaderWrite]) -> list[LeaderWrite]:
    """Returns the writes to the cluster, without the Lease and Events."""
    return [act for act in all_acts if act.resource not in _EVENT_RESOURCES and act.resource != _LEASES]


def epochs_in_order(records: Iterable[dict[str, Any]]) -> list[int]:
    """Returns the distinct epochs of the region reports in a stream's records (in wire form).

    Raises AssertionError if, within an item and region, the report of an earlier leader follows that of a later one.
    """
    last: dict[tuple[str, str], int] = {}
    seen: dict[int, None] = {}
    for record in records:
        image = record["dynamodb"].get("NewImage", {})
        name = record["dynamodb"]["Keys"]["endpoint_name"]["S"]
        for region, entry in image.get("region_status", {}).get("M", {}).items():
            epoch = int(entry["M"].get("epoch", {}).get("N", 0))
            before = last.get((name, region), 0)
            assert epoch >= before, f"{name}, {region}: a report of epoch {epoch} follows one of epoch {before}"
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
