import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.cluster.api import errors
from gco_stream.cluster.pods import MAX_PODS, health_of, pods_of
from gco_stream.model.objects import PodHealth
from tests.support.fake_api_server import connected, json_answer, list_of, status_answer

pytestmark = pytest.mark.slow

GATE = "target-health.elbv2.k8s.aws/x"
RUNNING = {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-21T12:00:00Z"}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def container(name: str = "main", ready: bool = False, restarts: int = 0, **states: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": RUNNING, **states}


def pod(
    *containers: dict[str, Any],
    inits: tuple[dict[str, Any], ...] = (),
    gates: tuple[str, ...] = (),
    phase: str = "Running",
    status: dict[str, Any] | None = None,
    **conditions: Any,
) -> dict[str, Any]:
    """A pod; each condition is given as its status or as its fields."""
    return {
        "metadata": {"name": "llm-1"},
        "spec": {
            "containers": [{"name": one["name"]} for one in containers] or [{"name": "main"}],
            "readinessGates": [{"conditionType": gate} for gate in gates],
        },
        "status": {
            "phase": phase,
            "conditions": [
                {"type": type_, **({"status": given} if isinstance(given, str) else given)}
                for type_, given in conditions.items()
            ],
            "containerStatuses": list(containers),
            "initContainerStatuses": list(inits),
            **(status or {}),
        },
    }


def unscheduled(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    return pod(phase="Pending", PodScheduled={"status": "False", "reason": reason, "message": message})


def reason(one: dict[str, Any]) -> str:
    return health_of(one).reason


def test_a_ready_pod_has_no_reason() -> None:
    ready = pod(container(ready=True), ContainersReady="True", Ready="True")
    assert health_of(ready) == PodHealth("llm-1", containers_ready=True, ready=True, reason="", gated=False)


def test_a_gated_pod_names_the_first_gate_that_is_not_met() -> None:
    gated = pod(container(ready=True), gates=("a/met", GATE), ContainersReady="True", Ready="False")
    gated["status"]["conditions"].append({"type": "a/met", "status": "True"})
    assert health_of(gated) == PodHealth(
        "llm-1", True, False, f"readiness gate {GATE} is not met", gated=True, has_gates=True
    )


def test_a_pod_whose_gates_are_met_still_has_gates() -> None:
    served = pod(container(ready=True), gates=(GATE,), ContainersReady="True", Ready="True")
    assert health_of(served) == PodHealth("llm-1", True, True, has_gates=True)


def test_an_unmet_gate_is_not_the_reason_while_containers_are_not_ready() -> None:
    crashing = pod(container(state=waiting("CreateContainerConfigError")), gates=(GATE,), Ready="False")
    assert health_of(crashing) == PodHealth("llm-1", False, False, "CreateContainerConfigError", has_gates=True)


def test_without_the_condition_container_statuses_determine_readiness() -> None:
    assert health_of(pod(container("a", ready=True), container("b", ready=True))).containers_ready
    assert not health_of(pod(container("a", ready=True), container("b"))).containers_ready
    assert not health_of(pod()).containers_ready
    incomplete = pod(container("a", ready=True), container("b", ready=True))
    incomplete["status"]["containerStatuses"].pop()
    assert not health_of(incomplete).containers_ready


def test_the_condition_takes_precedence_over_container_statuses() -> None:
    assert not health_of(pod(container(ready=True), ContainersReady="False")).containers_ready


@pytest.mark.parametrize("word", ["ErrImagePull", "ImagePullBackOff"])
def test_a_failing_image_pull_has_the_same_reason_during_and_between_attempts(word: str) -> None:
    pulling = pod(container(state=waiting(word, "Back-off 2m40s pulling image")), phase="Pending")
    assert reason(pulling) == "ImagePullBackOff"


@pytest.mark.parametrize(
    "states",
    [
        {"state": waiting("CrashLoopBackOff", "back-off 5m0s restarting"), "lastState": OOM},
        {"state": waiting("ContainerCreating"), "lastState": OOM},
        {"state": RUNNING, "lastState": OOM},
        {"state": OOM},
    ],
)
def test_a_crash_loop_has_the_same_reason_throughout(states: dict[str, Any]) -> None:
    assert reason(pod(container(restarts=7, **states))) == "CrashLoopBackOff (OOMKilled)"


def test_a_crash_loop_without_a_known_exit_has_the_kubelets_reason() -> None:
    assert reason(pod(container(state=waiting("CrashLoopBackOff")))) == "CrashLoopBackOff"


def test_a_running_container_that_is_not_ready_is_named() -> None:
    assert reason(pod(container("a", ready=True), container("b"))) == "container b is not ready"


def test_a_containers_own_problem_takes_precedence_over_waiting() -> None:
    assert reason(pod(container("a"), container("b", state=waiting("InvalidImageName")))) == "InvalidImageName"
    creating = container("a", state=waiting("ContainerCreating"))
    assert reason(pod(creating, container("b", state=waiting("ImagePullBackOff")))) == "ImagePullBackOff"
    assert reason(pod(creating, creating, phase="Pending")) == "ContainerCreating"


def test_an_unfinished_init_container_is_the_reason_that_others_wait() -> None:
    initializing = container(state=waiting("PodInitializing"))
    running = pod(initializing, inits=(container("done", ready=True, state=OOM), container("model-sync")))
    assert reason(running) == "init container model-sync is not ready"
    assert reason(pod(initializing, inits=(container("model-sync", state=OOM),))) == "CrashLoopBackOff (OOMKilled)"


def test_a_pod_without_containers_yet_is_pending() -> None:
    assert reason(pod(phase="Pending", PodScheduled="True")) == "Pending"
    assert reason({"metadata": {"name": "new"}}) == "Pending"


def test_a_pod_on_a_lost_node_reports_the_nodes_reason() -> None:
    lost = pod(container(ready=True), ContainersReady="True", Ready="False", status={"reason": "NodeLost"})
    assert health_of(lost) == PodHealth("llm-1", containers_ready=True, ready=False, reason="NodeLost", gated=False)
    del lost["status"]["reason"]
    assert reason(lost) == "not ready"


def test_an_unschedulable_pod_reports_why_without_node_counts() -> None:
    of_two = (
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No victims."
    )
    assert reason(unscheduled(of_two)) == "Unschedulable: Insufficient nvidia.com/gpu"
    one_more = (
        "0/12 nodes are available: 10 Too many pods, 2 Insufficient cpu. no new claims to deallocate, "
        "preemption: 0/12 nodes are available: 12 Preemption is not helpful for scheduling."
    )
    fewer = "0/7 nodes are available: 3 Insufficient cpu, 4 Too many pods."
    assert reason(unscheduled(fewer)) == "Unschedulable: Insufficient cpu, Too many pods"
    assert reason(unscheduled(one_more)) == "Unschedulable: Insufficient cpu, Too many pods"


def test_a_scheduler_message_without_counts_is_reported_unchanged() -> None:
    claim = '0/5 nodes are available: persistentvolumeclaim "efs-claim" not found. preemption: 0/5 nodes are available.'
    assert reason(unscheduled(claim)) == 'Unschedulable: persistentvolumeclaim "efs-claim" not found'
    assert reason(unscheduled("pod has unbound claims")) == "Unschedulable: pod has unbound claims"
    assert reason(unscheduled("")) == "Unschedulable"
    assert reason(unscheduled("Scheduling is blocked", "SchedulingGated")) == "SchedulingGated"


def test_a_reason_is_one_line_of_at_most_200_characters() -> None:
    long = reason(unscheduled("line\nand " + "x" * 500))
    assert len(long) == 200
    assert long.startswith("Unschedulable: line and xxx")
    assert long.endswith("x…")


words = st.sampled_from(
    [
        "ContainerCreating",
        "PodInitializing",
        "ErrImagePull",
        "ImagePullBackOff",
        "CrashLoopBackOff",
        "RunContainerError",
    ]
)
ends = st.sampled_from(["OOMKilled", "Error", "Completed"]).map(
    lambda word: {"terminated": {"reason": word, "exitCode": 1, "finishedAt": "2026-11-21T12:00:00Z"}}
)
states = st.one_of(st.just(RUNNING), words.map(waiting), ends, st.just({}))
containers = st.builds(
    container,
    st.sampled_from(["main", "sidecar"]),
    st.booleans(),
    st.integers(0, 9),
    state=states,
    lastState=st.one_of(ends, st.just({})),
)
truths = st.sampled_from(["True", "False", "Unknown"])
counted = st.tuples(
    st.integers(1, 99), st.sampled_from(["Insufficient cpu", "Too many pods", "node(s) were not ready"])
)
messages = st.lists(counted, min_size=1, max_size=3, unique_by=lambda pair: pair[1])


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    conditions: dict[str, Any] = draw(
        st.dictionaries(st.sampled_from(["Ready", "ContainersReady", "PodScheduled", GATE]), truths)
    )
    return pod(
        *draw(st.lists(containers, max_size=2)),
        inits=tuple(draw(st.lists(containers, max_size=2))),
        gates=draw(st.sampled_from([(), (GATE,), (GATE, "other/gate")])),
        phase=draw(st.sampled_from(["Pending", "Running", "Unknown"])),
        **conditions,
    )


@given(pods())
def test_a_pod_has_a_reason_exactly_while_it_is_not_ready(one: dict[str, Any]) -> None:
    before = copy.deepcopy(one)
    health = health_of(one)
    assert bool(health.reason) is not health.ready
    assert not health.gated or (health.containers_ready and not health.ready and "gate" in health.reason)
    assert len(health.reason) <= 200
    assert one == before


@given(pods(), st.integers(10, 99), st.text(max_size=20))
def test_times_restarts_and_kubelet_messages_do_not_affect_health(
    one: dict[str, Any], restarts: int, text: str
) -> None:
    later = copy.deepcopy(one)
    for condition in later["status"]["conditions"]:
        condition["lastTransitionTime"] = text
    for each in later["status"]["containerStatuses"] + later["status"]["initContainerStatuses"]:
        each["restartCount"] = restarts
        for state in (each["state"], each["lastState"]):
            for fields in state.values():
                fields |= {"startedAt": text, "finishedAt": text, "message": text}
    assert health_of(later) == health_of(one)


@given(messages, st.data())
def test_the_schedulers_reasons_do_not_depend_on_its_counts(
    troubles: list[tuple[int, str]], data: st.DataObject
) -> None:
    def said(counts: list[int]) -> str:
        texts = sorted(f"{count} {text}" for count, (_, text) in zip(counts, troubles, strict=True))
        return (
            f"0/{sum(counts)} nodes are available: {', '.join(texts)}. preemption: 0/{sum(counts)} nodes are available."
        )

    others = data.draw(st.lists(st.integers(1, 99), min_size=len(troubles), max_size=len(troubles)))
    first = reason(unscheduled(said([count for count, _ in troubles])))
    assert first == reason(unscheduled(said(others)))
    assert all(text in first for _, text in troubles)


def named(name: str, **metadata: Any) -> dict[str, Any]:
    one = pod(container(ready=True), ContainersReady="True", Ready="True")
    return {**one, "metadata": {"name": name, **metadata}}


async def test_every_page_is_read_and_ended_pods_are_left_out(tmp_path: Path) -> None:
    terminating = named("b", deletionTimestamp="2026-11-21T12:00:00Z")
    ended = [{**named(phase), "status": {"phase": phase}} for phase in ("Succeeded", "Failed")]

    async def answer(request: web.Request) -> web.Response:
        if request.query.get("continue") == "token":
            return list_of([named("c")], "7")
        return list_of([named("a"), terminating, *ended], "7", **{"continue": "token"})

    async with connected(answer, tmp_path) as (client, seen):
        found = await pods_of(client, "gco-inference", "llm", timeout=60)
    assert [health.name for health in found] == ["a", "c"]
    first, second = seen.requests
    assert first.path == second.path == "/api/v1/namespaces/gco-inference/pods"
    assert first.query["labelSelector"] == "app=llm"
    assert (
        first.query["fieldSelector"] == second.query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
    )


async def test_no_more_than_500_pods_are_read(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return list_of([named(f"pod-{n}") for n in range(int(request.query["limit"]))], "7", **{"continue": "more"})

    async with connected(answer, tmp_path) as (client, _):
        assert len(await pods_of(client, "gco-inference", "llm", timeout=60)) == MAX_PODS == 500


async def test_an_empty_list_gives_an_empty_tuple(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_answer({"kind": "PodList", "metadata": {}, "items": None})

    async with connected(answer, tmp_path) as (client, _):
        assert await pods_of(client, "gco-inference", "llm", timeout=60) == ()


async def test_the_deadline_covers_all_pages(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(60 if "continue" in request.query else 0.3)
        return list_of([], "7", **{"continue": "more"})

    async with connected(answer, tmp_path) as (client, _):
        with pytest.raises(errors.Unreachable) as late:
            await pods_of(client, "gco-inference", "llm", timeout=3)
    assert late.value.details["timeout"] <= 2.7


async def test_a_refused_list_raises_the_clients_error(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return status_answer(403, "Forbidden")

    async with connected(answer, tmp_path) as (client, _):
        with pytest.raises(errors.Forbidden):
            await pods_of(client, "gco-inference", "llm", timeout=60)
