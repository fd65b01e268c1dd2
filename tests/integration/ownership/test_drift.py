"""Drift detection on a real API server: how it stores applies, and how other field managers change objects."""

import copy

import pytest

from gco_stream.cluster.api.objects import collection_path, object_path, observe, upgraded_managed_fields
from gco_stream.local.kube_api import APPLY_PATCH
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.names import FIELD_MANAGER
from gco_stream.model.objects import Kind, ref_of
from gco_stream.planning.diff.drift import differences, in_observed_order, same_quantity
from tests.planning.support.deployments import CONTAINER, INFERENCE, POD, paths, wanted_deployment
from tests.support.observed_objects import at, changed, fields_v1, parity, without, without_defaults

pytestmark = pytest.mark.integration

PARITY = dict(parity())


class Api:
    """Requests to the API server in one namespace."""

    def __init__(self, kube, namespace):
        self._kube = kube
        self._namespace = namespace

    def placed(self, manifest):
        placed = copy.deepcopy(manifest)
        placed["metadata"]["namespace"] = self._namespace
        return {"apiVersion": RESOURCES[Kind(placed["kind"])].api_version, **placed}

    def apply(self, manifest):
        path = object_path(ref_of(manifest))
        return self._kube.patch(path, manifest, content_type=APPLY_PATCH, fieldManager=FIELD_MANAGER, force="true")

    def edit(self, raw):
        """Replaces the object, as `kubectl edit` does."""
        edited = copy.deepcopy(raw)
        for served in ("managedFields", "resourceVersion"):
            edited["metadata"].pop(served)
        return self._kube.request("PUT", object_path(ref_of(raw)), edited, query={"fieldManager": "kubectl-edit"})

    def adopt(self, manifest):
        """Creates the object as GCO's monitor does, then transfers its fields to us."""
        ref = ref_of(manifest)
        made = self._kube.request(
            "POST", collection_path(ref.kind, ref.namespace), manifest, query={"fieldManager": "OpenAPI-Generator"}
        )
        owners = upgraded_managed_fields(made["metadata"]["managedFields"])
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": owners}]
        handed = self._kube.patch(object_path(ref), patch, content_type="application/json-patch+json")
        return made, handed


@pytest.fixture
def api(kube, namespace):
    return Api(kube, namespace)


@pytest.mark.parametrize("name", PARITY)
def test_an_applied_object_is_in_sync_and_owned_as_the_unit_tests_assume(api, name):
    manifest = api.placed(without_defaults(PARITY[name]))
    standing = observe(api.apply(manifest))
    assert differences(manifest, standing) == ()
    assert standing.ownership.fields == fields_v1(manifest)


@pytest.mark.parametrize(
    ("path", "value", "reported"),
    [
        (("spec", "replicas"), 5, "spec.replicas"),
        (("metadata", "labels", "project"), "other", "metadata.labels.project"),
        (("metadata", "annotations", "gco.io/endpoint"), "other", "metadata.annotations[gco.io/endpoint]"),
        ((*CONTAINER, "image"), "other:1", f"{INFERENCE}.image"),
        ((*CONTAINER, "env", 1, "value"), "other", f"{INFERENCE}.env[B].value"),
        ((*CONTAINER, "args"), ["--other"], f"{INFERENCE}.args"),
        ((*CONTAINER, "command"), ["other"], f"{INFERENCE}.command"),
        ((*CONTAINER, "livenessProbe", "periodSeconds"), 99, f"{INFERENCE}.livenessProbe.periodSeconds"),
        ((*CONTAINER, "resources", "limits", "memory"), "17Gi", f"{INFERENCE}.resources.limits.memory"),
        ((*CONTAINER, "volumeMounts", 0, "name"), "shm", f"{INFERENCE}.volumeMounts[/models].name"),
        ((*POD, "nodeSelector", "disk"), "ssd", "spec.template.spec.nodeSelector.disk"),
        ((*POD, "tolerations", 0, "value"), "other", "spec.template.spec.tolerations[0].value"),
        ((*POD, "serviceAccountName"), "other", "spec.template.spec.serviceAccountName"),
        ((*POD, "initContainers", 0, "image"), "other:1", "spec.template.spec.initContainers[model-sync].image"),
    ],
)
def test_an_edit_is_exactly_one_difference_and_the_next_apply_reverts_it(api, path, value, reported):
    manifest = api.placed(wanted_deployment())
    edited = changed(api.apply(manifest), path, value)
    if path[-1] == "serviceAccountName":
        at(edited, POD).pop("serviceAccount")  # the field's deprecated alias, which the server would keep in sync
    drifted = observe(api.edit(edited))
    assert paths(differences(manifest, drifted)) == [reported]
    assert differences(manifest, observe(api.apply(in_observed_order(manifest, drifted)))) == ()


@pytest.mark.parametrize("path", [(*CONTAINER, "env", 1), (*CONTAINER, "env"), (*CONTAINER, "livenessProbe")])
def test_a_removed_field_is_a_difference_and_the_next_apply_restores_it(api, path):
    manifest = api.placed(wanted_deployment())
    drifted = observe(api.edit(without(api.apply(manifest), path)))
    found = differences(manifest, drifted)
    assert found
    assert all(one.observed is None for one in found)
    assert differences(manifest, observe(api.apply(manifest))) == ()


@pytest.mark.parametrize(
    ("path", "reported"),
    [
        ((*CONTAINER, "env", 1), f"{INFERENCE}.env[B]"),
        ((*CONTAINER, "args"), f"{INFERENCE}.args"),
        ((*POD, "initContainers"), "spec.template.spec.initContainers[model-sync]"),
        ((*POD, "nodeSelector", "eks.amazonaws.com/instance-gpu-manufacturer"), "spec.template.spec.nodeSelector"),
        (("metadata", "annotations", "gco.io/endpoint"), "metadata.annotations[gco.io/endpoint]"),
    ],
)
def test_an_obsolete_field_is_a_difference_until_an_apply_removes_it(api, path, reported):
    applied = api.placed(wanted_deployment())
    manifest = without(applied, path)
    found = differences(manifest, observe(api.apply(applied)))
    assert len(found) == 1
    assert found[0].path.startswith(reported)
    assert found[0].desired is None
    standing = api.apply(manifest)
    assert differences(manifest, observe(standing)) == ()
    assert differences(applied, observe(standing))


def test_additions_of_others_are_in_sync_and_keep_their_place_in_an_apply(api):
    manifest = api.placed(wanted_deployment())
    edited = api.apply(manifest)
    edited["metadata"]["annotations"]["example.com/owner"] = "somebody"
    at(edited, CONTAINER)["env"].insert(1, {"name": "INJECTED", "value": "1"})
    at(edited, POD)["volumes"].insert(0, {"name": "injected", "emptyDir": {}})
    drifted = api.edit(edited)
    assert differences(manifest, observe(drifted)) == ()
    after = api.apply(in_observed_order(manifest, observe(drifted)))
    assert after["spec"] == drifted["spec"]
    assert after["metadata"]["annotations"]["example.com/owner"] == "somebody"


@pytest.mark.parametrize("name", PARITY)
def test_gcos_objects_are_in_sync_and_the_first_apply_releases_the_defaults(api, name):
    manifest = api.placed(without_defaults(PARITY[name]))
    made, handed = api.adopt(manifest)
    assert differences(manifest, observe(made)) == ()
    assert all(one.desired is None for one in differences(manifest, observe(handed)))
    after = api.apply(in_observed_order(manifest, observe(handed)))
    assert differences(manifest, observe(after)) == ()
    assert after["spec"] == made["spec"]


def test_only_an_apply_in_the_observed_order_leaves_the_pod_template_alone(api):
    manifest = api.placed(wanted_deployment())
    standing = api.apply(manifest)
    other_order = copy.deepcopy(manifest)
    for lists in (at(other_order, CONTAINER), at(other_order, POD)):
        for field in {"env", "ports", "volumeMounts", "volumes"} & lists.keys():
            lists[field].reverse()
    assert differences(other_order, observe(standing)) == ()
    again = api.apply(in_observed_order(other_order, observe(standing)))
    assert again["spec"] == standing["spec"]
    # If this assertion fails, in_observed_order is no longer needed.
    restarted = api.apply(other_order)
    assert restarted["spec"]["template"] != standing["spec"]["template"]


def test_quantities_that_the_server_rewrites_are_in_sync(api):
    asked = {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpu": 1, "ephemeral-storage": "0.3Gi"}
    manifest = changed(api.placed(wanted_deployment()), (*CONTAINER, "resources"), {"requests": asked, "limits": asked})
    standing = api.apply(manifest)
    kept = at(standing, (*CONTAINER, "resources", "requests"))
    assert (kept["cpu"], kept["memory"], kept["nvidia.com/gpu"]) == ("1", "1Gi", "1")
    assert differences(manifest, observe(standing)) == ()


@pytest.mark.parametrize(
    "text",
    ["0.5", ".5", "2.", "+2", "1e3", "1E3", "12e-1", "1k", "0.0001", "1n", "1.0001", "1E", "16Ei", "1e20", "1.5Ki"],
)
def test_the_server_reads_a_quantity_as_we_do(api, text):
    requests = (*CONTAINER, "resources", "requests")
    standing = api.apply(
        changed(changed(api.placed(wanted_deployment()), (*CONTAINER, "resources"), {}), requests, {"memory": text})
    )
    assert same_quantity(text, at(standing, requests)["memory"])
