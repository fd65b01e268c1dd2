import pytest

from gco_stream.cluster.api.objects import (
    collection_path,
    is_applied_by_us,
    is_selected,
    object_path,
    observe,
    ownership_of,
    upgraded_managed_fields,
)
from gco_stream.model.objects import Kind, ObjectRef, Ownership, ref_of
from tests.support.raw_objects import entry, raw


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.DEPLOYMENT, "/apis/apps/v1/namespaces/ns/deployments"),
        (Kind.SERVICE, "/api/v1/namespaces/ns/services"),
        (Kind.INGRESS, "/apis/networking.k8s.io/v1/namespaces/ns/ingresses"),
        (Kind.HPA, "/apis/autoscaling/v2/namespaces/ns/horizontalpodautoscalers"),
    ],
)
def test_each_kind_has_its_path(kind: Kind, path: str) -> None:
    assert collection_path(kind, "ns") == path
    assert object_path(ObjectRef(kind, "ns", "llm")) == f"{path}/llm"


def test_only_the_status_fields_that_planning_reads_are_kept() -> None:
    condition = {"type": "Available", "status": "True", "reason": "R", "message": "m"}
    times = {"lastUpdateTime": "t", "lastTransitionTime": "t"}
    status = {"observedGeneration": 3, "readyReplicas": 1, "collisionCount": 2, "conditions": [{**condition, **times}]}
    assert observe(raw(status=status)).status == {
        "observedGeneration": 3,
        "readyReplicas": 1,
        "conditions": [condition],
    }
    assert observe(raw(kind="HorizontalPodAutoscaler", status=status)).status == {}


def test_a_lists_items_get_their_kind_from_the_list() -> None:
    item = raw()
    del item["kind"]
    assert observe(item, Kind.SERVICE).ref == ObjectRef(Kind.SERVICE, "gco-inference", "llm")


def test_kubectls_copy_of_the_manifest_is_dropped_and_other_annotations_are_kept() -> None:
    item = raw(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{…}", "mine": "1"})
    assert observe(item).annotations == {"mine": "1"}
    assert "kubectl.kubernetes.io/last-applied-configuration" in item["metadata"]["annotations"]


def test_a_terminating_object_is_seen_as_deleting() -> None:
    assert observe(raw(deletionTimestamp="2026-01-01T00:00:00Z")).deleting
    assert not observe(raw()).deleting


def test_a_manifest_names_its_object() -> None:
    assert ref_of(raw(kind="Ingress")) == ObjectRef(Kind.INGRESS, "gco-inference", "llm")


OURS = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], Ownership()),
        ([entry("gco-stream", "Apply", OURS)], Ownership(applied=True, fields=OURS)),
        ([entry("gco-stream", "Update", {})], Ownership(stamped=True)),
        ([entry("gco-stream", "Update", {}, subresource="scale")], Ownership()),
        ([entry("OpenAPI-Generator", "Update", {})], Ownership(legacy=True)),
        ([entry("before-first-apply", "Update", {})], Ownership(legacy=True)),
        ([entry("gco-stream-replicas", "Apply", OURS)], Ownership(replicas=True)),
        ([entry("kube-controller-manager", "Update", OURS, subresource="status")], Ownership()),
        (
            [entry("gco-stream", "Apply", OURS), entry("OpenAPI-Generator", "Update", {})],
            Ownership(applied=True, legacy=True, fields=OURS),
        ),
    ],
)
def test_ownership_is_read_from_managed_fields(entries: list[dict[str, object]], expected: Ownership) -> None:
    assert ownership_of(entries) == expected


def test_an_object_without_labels_is_ours_if_we_applied_it_and_it_names_an_endpoint() -> None:
    assert is_applied_by_us(observe(raw(labels={})))
    assert not is_selected(observe(raw(labels={})))
    assert not is_applied_by_us(observe(raw(labels={}, applied=False)))
    assert not is_applied_by_us(observe(raw(labels={}, endpoint=None)))
    assert is_selected(observe(raw()))


A = {"f:spec": {"f:a": {}, "f:list": {'k:{"name":"x"}': {".": {}, "f:value": {}}}}}
B = {"f:spec": {"f:b": {}, "f:list": {'k:{"name":"y"}': {".": {}}}}}
A_AND_B = {
    "f:spec": {
        "f:a": {},
        "f:b": {},
        "f:list": {'k:{"name":"x"}': {".": {}, "f:value": {}}, 'k:{"name":"y"}': {".": {}}},
    }
}
HPA = entry("kube-controller-manager", "Update", {"f:status": {}}, subresource="status")


def test_handing_over_renames_the_old_managers_entry() -> None:
    (ours, other) = upgraded_managed_fields([entry("OpenAPI-Generator", "Update", A), HPA])
    assert ours == entry("gco-stream", "Apply", A)
    assert other == HPA


def test_handing_over_merges_old_entries_and_our_updates_into_our_apply() -> None:
    united = upgraded_managed_fields(
        [entry("before-first-apply", "Update", A), entry("gco-stream", "Update", B), entry("gco-stream", "Apply", B)]
    )
    assert united == [entry("gco-stream", "Apply", A_AND_B)]


def test_handing_over_does_not_modify_its_input() -> None:
    entries = [entry("OpenAPI-Generator", "Update", {"f:spec": {}}), entry("gco-stream", "Update", B)]
    before = [dict(one) for one in entries]
    upgraded_managed_fields(entries)
    assert entries == before
    assert entries[0]["fieldsV1"] == {"f:spec": {}}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [HPA],
        [entry("kubectl", "Update", A)],
        [entry("gco-stream-replicas", "Apply", A)],
        [entry("gco-stream", "Update", A, subresource="scale")],
    ],
)
def test_handing_over_leaves_other_managers_entries_unchanged(entries: list[dict[str, object]]) -> None:
    assert upgraded_managed_fields(entries) == entries


def test_an_entry_of_another_api_version_is_not_merged() -> None:
    old = entry("OpenAPI-Generator", "Update", A, apiVersion="apps/v1beta1")
    assert upgraded_managed_fields([entry("gco-stream", "Apply", B), old]) == [entry("gco-stream", "Apply", B), old]
