"""Collects the records for the judges after a run."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import orjson

from gco_stream.local.audit import AuditLog
from tests.chaos.run.environment import Environment
from tests.chaos.run.records.evidence import Action, Call, Change, Evidence
from tests.chaos.run.records.metronome import dated

_KINDS = {
    "deployments": "Deployment",
    "services": "Service",
    "ingresses": "Ingress",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "leases": "Lease",
}
_TOLD = "events"


def evidence(
    ground: Environment, began: float, quiet: float, ended: float, foreign: Iterable[tuple[str, str, str]]
) -> Evidence:
    """Returns everything recorded so far."""
    events = dated(ground.cluster_log.events(), ground.metronome.beats())
    actions = ground.journal.actions()
    return Evidence(
        region=ground.roster.region,
        began=began,
        quiet=quiet,
        ended=ended,
        changes=dated_changes(ground.table_log.catch_up(), actions),
        events=tuple(event for event in events if event.kind != "Lease"),
        calls=tuple(calls(ground.audit_logs(), {site.user: site.replica.name for site in ground.sites})),
        actions=actions,
        spans=ground.journal.spans(),
        foreign=frozenset(foreign),
    )


def dated_changes(changes: Iterable[Change], actions: Iterable[Action]) -> tuple[Change, ...]:
    """Returns the changes, each not later than the end of the user's write that made it.

    The stream may be read seconds late. Whatever an item's history has before a write was not later than that write.
    """
    written = {action.mark: action.until for action in actions if action.mark}
    latest: dict[str, float] = {}
    found = []
    for change in reversed(tuple(changes)):
        at, mark = min(change.at, latest.get(change.name, change.at)), change.new.get("updated_at", "")
        if mark != change.old.get("updated_at", ""):
            # Reports that follow the write keep its mark.
            at = min(at, written.get(mark, at))
        latest[change.name] = at
        found.append(replace(change, at=at))
    return tuple(reversed(found))


def calls(logs: Iterable[AuditLog], replicas: dict[str, str]) -> list[Call]:
    """Returns the replicas' calls except for Events; `replicas` maps users to replica names."""
    marks = [user.encode() for user in replicas]
    found = []
    for log in logs:
        with log.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n") and any(mark in line for mark in marks):
                    call = _call(orjson.loads(line), replicas)
                    if call is not None:
                        found.append(call)
    return sorted(found, key=lambda call: call.at)


def _call(event: dict[str, object], replicas: dict[str, str]) -> Call | None:
    user, about, answer = event["user"], event.get("objectRef", {}), event.get("responseStatus", {})
    assert isinstance(user, dict)
    assert isinstance(about, dict)
    assert isinstance(answer, dict)
    replica, resource = replicas.get(user.get("username", "")), str(about.get("resource", ""))
    if replica is None or resource == _TOLD or event["stage"] == "ResponseStarted":
        return None
    return Call(
        at=_time(event["requestReceivedTimestamp"]),
        until=_time(event["stageTimestamp"]),
        replica=replica,
        verb=str(event["verb"]),
        kind=_KINDS.get(resource) or resource,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        status=int(answer.get("code", 0)),
        subresource=about.get("subresource", ""),
    )


def _time(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()
