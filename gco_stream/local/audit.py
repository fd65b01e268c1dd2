"""The API server's audit policy, and a reader of its audit log for tests that count API calls."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # The control plane's own components make more calls than all other clients together, and no test counts them.
        {
            "level": "None",
            "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok"],
        },
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
        {"level": "Metadata"},
    ],
}


_MAX_LINE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Call:
    """One request in the audit log.

    `status`: the HTTP status code, 0 if there is none. `stage`: ResponseComplete, or ResponseStarted for an open watch.
    """

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int
    stage: str
    agent: str
    uri: str
    received: str
    """When the request arrived, in RFC 3339 format."""


class AuditLog:
    """The audit log file at `path`."""

    def __init__(self, path: Path):
        self.path = path

    def mark(self) -> int:
        """Returns the byte offset after the last complete line of the log, for use as `since`."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _MAX_LINE_BYTES)
            file.seek(begin)
            return begin + file.read().rfind(b"\n") + 1

    def calls(self, since: int = 0, *, user: str | None = None, namespace: str | None = None) -> list[Call]:
        """Returns the completed calls after the mark `since`, optionally only those by `user` or in `namespace`.

        The API server logs a call before it completes the response, so a call that has returned is included.
        """
        return [
            call
            for call in self.entries(since)
            if call.stage == "ResponseComplete" and user in (None, call.user) and namespace in (None, call.namespace)
        ]

    def entries(self, since: int = 0) -> Iterator[Call]:
        """Yields all entries after the mark `since`, including those of calls that have not completed."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(since)
            for line in file:
                if line.endswith(b"\n"):
                    yield _call(line)


def _call(line: bytes) -> Call:
    event = orjson.loads(line)
    about = event.get("objectRef", {})
    return Call(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        status=event.get("responseStatus", {}).get("code", 0),
        stage=event["stage"],
        agent=event.get("userAgent", ""),
        uri=event["requestURI"],
        received=event["requestReceivedTimestamp"],
    )
