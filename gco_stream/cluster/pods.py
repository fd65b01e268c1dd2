"""Health of endpoints' pods, read from the API server only when it is needed.

Pods are not watched: a region may run thousands of them, and their events would dominate the watch traffic.
"""

import asyncio
import re
from typing import Any, Final
from urllib.parse import quote

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.objects import items_of
from gco_stream.cluster.paging import LARGE_PAGE_SIZE, list_pages
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, PodHealth

# Maximum number of pods to read for an endpoint. More pods add little information, and a plan waits for the read.
MAX_PODS: Final = 500
_MAX_REASON_LENGTH: Final = 200
_ENDED: Final = ("Succeeded", "Failed")
_SELECTED: Final = ",".join(f"status.phase!={phase}" for phase in _ENDED)

# The kubelet alternates between these two reasons while it retries an image pull.
_SAME_TROUBLE: Final = {"ErrImagePull": "ImagePullBackOff"}
# Waiting reasons of containers that have no problem of their own.
_JUST_WAITING: Final = ("", "PodInitializing", "ContainerCreating")
# kube-scheduler's FitError: "0/5 nodes are available: 3 Insufficient cpu, 2 Too many pods. ", then preemption details.
_NODES_COUNTED: Final = re.compile(r"\d+/\d+ nodes are available: ")
_REASON_COUNTED: Final = re.compile(r"(?:^|, )\d+ ")


async def pods_of(client: KubeClient, namespace: str, app: str, *, timeout: float) -> tuple[PodHealth, ...]:  # noqa: ASYNC109
    """Returns the health of the pods with the label app=`app`, at most 500, without ended and terminating pods.

    `timeout`: seconds for all pages together. Raises ClusterError.
    """
    pages = list_pages(
        client,
        _path(namespace),
        {"labelSelector": f"{names.APP_LABEL}={app}", "fieldSelector": _SELECTED},
        page_size=LARGE_PAGE_SIZE,
        max_pages=MAX_PODS // LARGE_PAGE_SIZE,
        deadline=asyncio.get_running_loop().time() + timeout,
    )
    return tuple([health_of(pod) async for page in pages for pod in items_of(page) if _is_active(pod)])


async def pods_by_app(client: KubeClient, namespace: str, *, timeout: float) -> dict[str, tuple[PodHealth, ...]]:  # noqa: ASYNC109
    """Returns the health of all endpoints' pods in a namespace, by `app` label, without ended and terminating pods.

    `timeout`: seconds for each page. Raises ClusterError.
    """
    query = {"labelSelector": names.OWNED_SELECTOR, "fieldSelector": _SELECTED}
    found: dict[str, tuple[PodHealth, ...]] = {}
    async for page in list_pages(client, _path(namespace), query, page_size=LARGE_PAGE_SIZE, timeout=timeout):
        for pod in items_of(page):
            if _is_active(pod):
                app = pod["metadata"]["labels"].get(names.APP_LABEL, "")
                found[app] = (*found.get(app, ()), health_of(pod))
    return found


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/pods"


def health_of(pod: JsonObject) -> PodHealth:
    """Returns the health of a pod, given as a core/v1 object."""
    conditions = {condition["type"]: condition for condition in _status(pod).get("conditions") or ()}
    containers_ready = _containers_ready(pod, conditions)
    ready = _is_true(conditions, "Ready")
    gate = next((gate for gate in _gates(pod) if not _is_true(conditions, gate)), None)
    gated = containers_ready and not ready and gate is not None
    if ready:
        reason = ""
    elif gated:
        reason = f"readiness gate {gate} is not met"
    else:
        reason = _unscheduled(conditions) or _of_containers(pod) or _of_pod(pod, conditions)
    return PodHealth(pod["metadata"]["name"], containers_ready, ready, _truncated(reason), gated, bool(_gates(pod)))


def _is_active(pod: JsonObject) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and _status(pod).get("phase") not in _ENDED


def _status(pod: JsonObject) -> dict[str, Any]:
    return pod.get("status") or {}


def _gates(pod: JsonObject) -> list[str]:
    return [gate["conditionType"] for gate in (pod.get("spec") or {}).get("readinessGates") or ()]


def _is_true(conditions: dict[str, Any], type_: str) -> bool:
    return bool(conditions.get(type_, {}).get("status") == "True")


def _containers_ready(pod: JsonObject, conditions: dict[str, Any]) -> bool:
    if "ContainersReady" in conditions:
        return _is_true(conditions, "ContainersReady")
    statuses = _status(pod).get("containerStatuses") or ()
    declared = (pod.get("spec") or {}).get("containers") or ()
    return len(statuses) >= max(1, len(declared)) and all(status.get("ready") for status in statuses)


def _unscheduled(conditions: dict[str, Any]) -> str:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") != "False":
        return ""
    reason = scheduled.get("reason") or "Unschedulable"
    message = _without_counts(scheduled.get("message") or "") if reason == "Unschedulable" else ""
    return f"{reason}: {message}" if message else str(reason)


def _without_counts(message: str) -> str:
    """Returns the scheduler's message without node counts, which change whenever a node is added or removed."""
    counted = _NODES_COUNTED.match(message)
    if counted is None:
        return message
    causes, _, _ = message[counted.end() :].partition(". ")
    reasons = _REASON_COUNTED.split(causes.removesuffix("."))
    # The scheduler sorts the reasons including their counts, so their order varies.
    return ", ".join(sorted(reason for reason in reasons if reason))


def _of_containers(pod: JsonObject) -> str:
    """Returns why the containers are not ready; a container's own problem takes precedence over mere waiting."""
    status = _status(pod)
    troubles = [
        _container_problem(container, what)
        for what, of_kind in (("init container", "initContainerStatuses"), ("container", "containerStatuses"))
        for container in status.get(of_kind) or ()
        if not container.get("ready")
    ]
    return next((trouble for trouble, its_own in troubles if its_own), troubles[0][0] if troubles else "")


def _container_problem(container: dict[str, Any], what: str) -> tuple[str, bool]:
    """Returns why a container is not ready, and whether the container itself has a problem.

    A crash loop is always reported as CrashLoopBackOff, even while the container is running until its next exit.
    """
    state, last = container.get("state") or {}, container.get("lastState") or {}
    waiting = (state.get("waiting") or {}).get("reason") or ""
    ended = state.get("terminated") or last.get("terminated")
    if ended and waiting in (*_JUST_WAITING, "CrashLoopBackOff"):
        return f"CrashLoopBackOff ({ended.get('reason') or 'ended'})", True
    if waiting in _JUST_WAITING:
        return waiting or f"{what} {container['name']} is not ready", False
    return _SAME_TROUBLE.get(waiting, waiting), True


def _of_pod(pod: JsonObject, conditions: dict[str, Any]) -> str:
    status = _status(pod)
    for word in (status.get("reason"), conditions.get("Ready", {}).get("reason")):
        if word:
            return str(word)
    return "Pending" if status.get("phase", "Pending") == "Pending" else "not ready"


def _truncated(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_REASON_LENGTH else text[: _MAX_REASON_LENGTH - 1] + "…"
