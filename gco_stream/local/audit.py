"""The API server's audit log as values: who called what. Tests count calls by it."""

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
        # The control plane's own parts: they call more often than everybody else together.
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
    """One request as the API server saw it. `status` is the HTTP status; `stage` is ResponseComplete, or
    ResponseStarted for a watch that is open.
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
    """When, RFC 3339."""


class AuditLog:
    """The log file at `path`."""

    def __init__(self, path: Path):
        self.path = path

    def mark(self) -> int:
        """Where the log ends now, for `calls(since=...)`; a line that is still being written comes after it."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _MAX_LINE_BYTES)
            file.seek(begin)
            return begin + file.read().rfind(b"\n") + 1

    def calls(self, since: int = 0, *, user: str | None = None, namespace: str | None = None) -> list[Call]:
        """The completed calls after the mark `since`, of `user` and about `namespace` where they are given.

        A call is in the log before its caller has the answer.
        """
        return [
            call
            for call in self.entries(since)
            if call.stage == "ResponseComplete" and user in (None, call.user) and namespace in (None, call.namespace)
        ]

    def entries(self, since: int = 0) -> Iterator[Call]:
        """Every entry after the mark `since`, also of calls that are not complete."""
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
