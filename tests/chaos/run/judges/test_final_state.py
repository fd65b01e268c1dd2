"""The judge of the final state finds every difference from the table, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chaos.run.judges import final_state as ending
from tests.chaos.run.judges.recorded import (
    CANARY,
    DEPLOYMENT,
    HPA,
    INGRESS,
    NAMESPACE,
    ONE,
    SERVICE,
    TWO,
    Ref,
    item_version,
    region_report,
)
from tests.chaos.run.records.evidence import Plain
from tests.support.items import REGION

CANARY_SPEC = {"canary": {"image": TWO, "weight": 20, "replicas": 1}}
SCALED_SPEC = {"autoscaling": {"enabled": True, "min_replicas": 1, "max_replicas": 3}}


def deployment(app: str, image: str, count: int = 1) -> dict[str, Any]:
    container = {"image": image, "env": [{"name": "WHO", "value": "x"}]}
    return {
        "metadata": {"name": app, "annotations": {}},
        "spec": {"replicas": count, "template": {"spec": {"containers": [container]}}},
        "status": {"replicas": count, "updatedReplicas": count, "readyReplicas": count},
    }


def service(app: str) -> dict[str, Any]:
    return {"metadata": {"name": app}, "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8000}]}}


def ingress(backend: str = "chat", **annotations: str) -> dict[str, Any]:
    path = {"path": "/inference/chat", "backend": {"service": {"name": backend}}}
    return {"metadata": {"annotations": annotations}, "spec": {"rules": [{"http": {"paths": [path]}}]}}


def weighted(weight: int) -> dict[str, Any]:
    groups = (
        f'{{"serviceName": "chat", "weight": {100 - weight}}}, {{"serviceName": "chat-canary", "weight": {weight}}}'
    )
    action = f'{{"forwardConfig": {{"targetGroups": [{groups}]}}}}'
    return ingress("weighted-routing", **{"alb.ingress.kubernetes.io/actions.weighted-routing": action})


def right(plain: Mapping[str, Any]) -> dict[Ref, Any]:
    spec = plain["spec"]
    found: dict[Ref, Any] = {
        SERVICE: service("chat"),
        DEPLOYMENT: deployment("chat", spec["image"]),
        INGRESS: ingress(),
    }
    if "canary" in spec:
        found[CANARY] = deployment("chat-canary", TWO)
        found["Service", NAMESPACE, "chat-canary"] = service("chat-canary")
        found[INGRESS] = weighted(20)
    if "autoscaling" in spec:
        found[HPA] = {"spec": {"maxReplicas": 3}}
    return found


def complaints(plain: Plain, objects: Mapping[Ref, Any], foreign: frozenset[Ref] = frozenset()) -> list[str]:
    items = {"chat": plain} if plain else {}
    return ending.out_of_sync(items, objects, REGION, [NAMESPACE], ["chat"], foreign)


def running(**spec: Any) -> dict[str, Any]:
    return region_report(
        item_version(spec={"env": {"WHO": "x"}, **spec}), "running", replicas_ready=1, replicas_desired=1
    )


class TestEnding:
    """Tests of ending.out_of_sync."""

    @pytest.mark.parametrize("spec", [{}, CANARY_SPEC, SCALED_SPEC])
    def test_a_cluster_in_the_desired_state_has_no_findings(self, spec: dict[str, Any]) -> None:
        assert complaints(running(**spec), right(running(**spec))) == []

    @pytest.mark.parametrize("spec", [{}, CANARY_SPEC, SCALED_SPEC])
    def test_every_missing_object_is_found(self, spec: dict[str, Any]) -> None:
        whole = right(running(**spec))
        for ref in whole:
            assert complaints(running(**spec), {key: value for key, value in whole.items() if key != ref}), ref

    @pytest.mark.parametrize(
        "wrong",
        [
            {DEPLOYMENT: deployment("chat", TWO)},
            {DEPLOYMENT: deployment("chat", ONE, 2)},
            {SERVICE: service("other")},
            {INGRESS: ingress("other")},
            {INGRESS: weighted(20)},
            {INGRESS: ingress(**{"gco.io/draining-since": "2026-11-21T09:00:00+00:00"})},
            {HPA: {"spec": {"maxReplicas": 3}}},
            {CANARY: deployment("chat-canary", TWO)},
        ],
    )
    def test_an_out_of_sync_object_is_found(self, wrong: dict[Ref, Any]) -> None:
        assert complaints(running(), right(running()) | wrong)

    def test_pods_that_are_not_ready_are_found(self) -> None:
        whole = right(running())
        whole[DEPLOYMENT]["status"]["readyReplicas"] = 0
        assert complaints(running(), whole)

    @pytest.mark.parametrize("weight", [0, 50])
    def test_a_wrong_canary_weight_is_found(self, weight: int) -> None:
        assert complaints(running(**CANARY_SPEC), right(running(**CANARY_SPEC)) | {INGRESS: weighted(weight)})

    def test_an_incorrect_report_is_found(self) -> None:
        whole = right(running())
        for entry in ({"state": "updating"}, {"replicas_ready": 0}, {"error": "something"}):
            plain = running()
            plain["region_status"][REGION] |= entry
            assert complaints(plain, whole)

    def test_a_missing_promotion_is_found(self) -> None:
        assert complaints({**running(), "desired_state": "deploying"}, right(running()))

    def test_leftover_objects_are_found(self) -> None:
        for plain in ({}, region_report(item_version(target_regions=["eu-west-1"]), "deleted")):
            assert complaints(plain, {}) == []
            for ref, obj in right(running(**CANARY_SPEC)).items():
                assert complaints(plain, {ref: obj})
        assert complaints(item_version(state="deleted"), {})
        assert complaints(item_version(state="deleted", target_regions=["eu-west-1"]), {}) == []

    def test_a_stopped_endpoint_has_no_pods_and_no_ingress(self) -> None:
        stopped = region_report(item_version(state="stopped"), "stopped")
        left = {SERVICE: service("chat"), DEPLOYMENT: deployment("chat", ONE, 0)}
        assert complaints(stopped, left) == []
        assert complaints(stopped, left | {DEPLOYMENT: deployment("chat", ONE)})
        assert complaints(stopped, left | {INGRESS: ingress()})
        assert complaints(region_report(item_version(state="stopped"), "stopping"), left)

    def test_an_invalid_spec_and_a_name_conflict_must_be_reported(self) -> None:
        broken = item_version(spec={"port": 99999})
        error = "spec.port: invalid value 99999"
        assert complaints(region_report(broken, "error", error=error, reason="InvalidSpec"), {}) == []
        assert complaints(region_report(broken, "error", error=error, reason="Rejected"), {})
        assert complaints(region_report(broken, "running"), {})
        taken = region_report(
            item_version(), "error", error="Service gco-inference/chat exists", reason="ObjectNotOwned"
        )
        assert complaints(taken, {}, frozenset({SERVICE})) == []
        assert complaints(region_report(item_version(), "running"), {}, frozenset({SERVICE}))

    def test_a_hold_must_be_reported(self) -> None:
        held = item_version(hold="why")
        assert complaints(region_report(held, "running", error="held: why", reason="Held"), {}) == []
        assert complaints(region_report(held, "running"), {})
