"""Reads from the audit log when the API server received and answered each write of a user."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Accepted:
    """A write that the API server accepted. Times are Unix times with microseconds."""

    resource: str
    name: str
    received: float
    answered: float


def writes(log: Path, since: int, user: str) -> Iterator[Accepted]:
    """The user's accepted writes after the mark `since` of the audit log, without Leases and Events."""
    with log.open("rb") as file:
        file.seek(since)
        for line in file:
            if not line.endswith(b"\n"):
                return
            event = orjson.loads(line)
            about = event.get("objectRef", {})
            if (
                event["user"].get("username") == user
                and event["stage"] == "ResponseComplete"
                and event["verb"] in {"create", "update", "patch", "delete"}
                and about.get("resource") not in {"leases", "events"}
                and event.get("responseStatus", {}).get("code", 500) < 300
            ):
                yield Accepted(
                    resource=about.get("resource", ""),
                    name=about.get("name", ""),
                    received=_unix(event["requestReceivedTimestamp"]),
                    answered=_unix(event["stageTimestamp"]),
                )


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
