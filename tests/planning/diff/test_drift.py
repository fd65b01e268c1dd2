import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model import names
from gco_stream.planning.diff.difference import Difference
from gco_stream.planning.diff.drift import differences, in_observed_order
from tests.planning.support.deployments import CONTAINER, INFERENCE, POD, paths, rich_deployment, wanted_deployment
from tests.support import observed_objects as live
from tests.support.items import parity_objects
from tests.support.observed_objects import MERGE_KEYS, ONE_WHOLE, at, changed, observed, without, without_defaults

pytestmark = pytest.mark.slow


OBJECTS = {"rich": rich_deployment(), **dict(live.parity())}
WANTED = {name: without_defaults(standing) for name, standing in OBJECTS.items()}

every_object = pytest.mark.parametrize("name", OBJECTS)
any_object = st.sampled_from(sorted(OBJECTS))


def compare(manifest, standing, **options):
    """The differences between a manifest and an object that our apply of `wanted_deployment` made."""
    return differences(manifest, observed(standing, applied=wanted_deployment()), **options)


@st.composite
def subset(draw, value, field=""):
    """A manifest with a subset of the fields. Merge keys and atomic values are kept."""
    if field in ONE_WHOLE or not isinstance(value, dict | list):
        return value
    if isinstance(value, dict):
        kept = {name for name in value if name in MERGE_KEYS.get(field, ()) or draw(st.booleans())}
        return {name: draw(subset(inner, name)) for name, inner in value.items() if name in kept}
    if field not in MERGE_KEYS:
        return value
    # The field name of the list is passed on to its items, so that their merge keys are known.
    return [draw(subset(item, field)) for item in value if draw(st.booleans())]


def reordered(value, shuffle, field=""):
    if isinstance(value, dict):
        return {name: reordered(inner, shuffle, name) for name, inner in value.items()}
    if isinstance(value, list) and field in MERGE_KEYS:
        return shuffle([reordered(item, shuffle) for item in value])
    return value


@every_object
def test_an_object_is_in_sync_with_itself_with_or_without_defaults(name):
    assert differences(OBJECTS[name], observed(OBJECTS[name])) == ()
    assert differences(WANTED[name], observed(OBJECTS[name])) == ()
    assert differences(WANTED[name], observed(OBJECTS[name], applied=WANTED[name])) == ()


@given(st.data(), any_object)
def test_any_subset_of_an_object_is_in_sync_with_it(data, name):
    standing = OBJECTS[name]
    fewer = {**standing, "spec": data.draw(subset(standing["spec"]))}
    assert differences(fewer, observed(standing)) == ()


@given(st.data(), any_object)
def test_one_changed_value_anywhere_is_one_difference(data, name):
    manifest = WANTED[name]
    path = data.draw(st.sampled_from(sorted(live.leaves(manifest), key=repr)))
    is_key = len(path) > 2 and isinstance(path[-2], int) and path[-1] in MERGE_KEYS.get(path[-3], ())
    standing = changed(OBJECTS[name], path, 4242 if isinstance(at(manifest, path), int) else "4242")
    found = differences(manifest, observed(standing))
    if path[-1] == names.REVISION_ANNOTATION:
        assert found == ()
        return
    assert len(found) == 1
    if is_key:
        assert found[0].observed is None
        assert found[0].desired == at(manifest, path[:-1])
    elif {"args", "command"}.isdisjoint(path):
        assert (found[0].observed, found[0].desired) == (at(standing, path), at(manifest, path))
        assert found[0].path.rstrip("]").endswith(str(path[-1]))
    else:
        assert found[0].path.endswith(str(path[-2]))


@given(st.data(), any_object)
def test_one_removed_value_is_one_difference(data, name):
    manifest = WANTED[name]
    # Strings in lists have a test of their own, and an item without its key is a different item.
    every = (path for path in live.leaves(manifest) if isinstance(path[-1], str))
    path = data.draw(st.sampled_from(sorted(every, key=repr)))
    found = differences(manifest, observed(without(OBJECTS[name], path)))
    if path[-1] == names.REVISION_ANNOTATION:
        assert found == ()
    else:
        assert len(found) == 1
        assert found[0].observed is None


@given(st.randoms(use_true_random=False), any_object)
def test_the_order_of_lists_that_merge_by_key_is_no_difference(random, name):
    manifest = reordered(WANTED[name], lambda items: random.sample(items, len(items)))
    assert differences(manifest, observed(OBJECTS[name], applied=WANTED[name])) == ()
    back = in_observed_order(manifest, observed(OBJECTS[name]))
    assert back == WANTED[name]


@given(st.data())
def test_a_field_that_we_own_and_no_longer_set_is_a_difference(data):
    applied = wanted_deployment()
    every = [path for path in live.leaves(applied) if isinstance(path[-1], str) and ONE_WHOLE.isdisjoint(path)]
    path = data.draw(st.sampled_from(sorted(every, key=repr)))
    found = compare(without(applied, path), rich_deployment())
    if path[-1] == names.REVISION_ANNOTATION:
        assert found == ()
    elif isinstance(path[-2], int) and path[-1] in MERGE_KEYS.get(path[-3], ()):
        assert found
    else:
        assert [(one.observed, one.desired) for one in found] == [(at(applied, path), None)]


@pytest.mark.parametrize(
    ("path", "reported"),
    [
        ((*CONTAINER, "env", 1), [f"{INFERENCE}.env[B]"]),
        ((*CONTAINER, "env"), [f"{INFERENCE}.env[{name}]" for name in "ABCD"]),
        ((*CONTAINER, "ports", 1), [f"{INFERENCE}.ports[9090/TCP]"]),
        ((*CONTAINER, "args"), [f"{INFERENCE}.args"]),
        ((*CONTAINER, "livenessProbe"), [f"{INFERENCE}.livenessProbe"]),
        (
            (*CONTAINER, "resources", "requests"),
            [f"{INFERENCE}.resources.requests{name}" for name in (".cpu", ".memory", "[nvidia.com/gpu]")],
        ),
        ((*CONTAINER, "resources", "limits", "nvidia.com/gpu"), [f"{INFERENCE}.resources.limits[nvidia.com/gpu]"]),
        ((*POD, "initContainers"), ["spec.template.spec.initContainers[model-sync]"]),
        ((*POD, "tolerations"), ["spec.template.spec.tolerations"]),
        ((*POD, "nodeSelector"), ["spec.template.spec.nodeSelector"]),
        (("metadata", "annotations", names.ENDPOINT_ANNOTATION), ["metadata.annotations[gco.io/endpoint]"]),
        (("metadata", "annotations"), ["metadata.annotations[gco.io/endpoint]"]),
        (("metadata", "labels", "project"), ["metadata.labels.project"]),
        (("spec", "replicas"), ["spec.replicas"]),
    ],
)
def test_a_field_dropped_from_the_item_is_reported_once(path, reported):
    found = compare(without(wanted_deployment(), path), rich_deployment())
    assert paths(found) == reported
    assert all(one.desired is None for one in found)


@pytest.mark.parametrize("path", [(*CONTAINER, "env", 1), (*CONTAINER, "args"), ("metadata", "labels", "project")])
def test_a_field_that_we_own_but_that_is_absent_needs_no_apply(path):
    assert compare(without(wanted_deployment(), path), without(rich_deployment(), path)) == ()


def test_an_empty_value_of_ours_that_the_server_keeps_anyway_needs_no_apply():
    applied = changed(wanted_deployment(), (*POD, "securityContext"), {})
    standing = observed(rich_deployment(), applied=applied)
    assert standing.spec["template"]["spec"]["securityContext"] == {}
    assert differences(wanted_deployment(), standing) == ()


def test_each_variable_is_reported_if_all_were_removed():
    standing = without(rich_deployment(), (*CONTAINER, "env"))
    assert paths(compare(wanted_deployment(), standing)) == [f"{INFERENCE}.env[{name}]" for name in "ABCD"]


def test_a_null_in_the_manifest_is_ignored():
    assert differences(changed(wanted_deployment(), ("spec", "replicas"), None), observed(rich_deployment())) == ()


def test_fields_that_others_added_are_no_difference():
    standing = rich_deployment()
    standing["metadata"]["annotations"]["example.com/owner"] = "somebody"
    standing["metadata"]["labels"]["team"] = "ml"
    at(standing, CONTAINER)["env"].append({"name": "INJECTED", "value": "1"})
    at(standing, POD)["volumes"].append({"name": "sidecar", "emptyDir": {}})
    at(standing, POD)["containers"].append({"name": "sidecar", "image": "proxy:1"})
    at(standing, CONTAINER)["resources"]["limits"]["ephemeral-storage"] = "1Gi"
    assert compare(wanted_deployment(), standing) == ()


@pytest.mark.parametrize(
    ("where", "added", "path"),
    [
        ((*POD, "nodeSelector"), {"disk": "ssd"}, "spec.template.spec.nodeSelector.disk"),
        ((*POD, "tolerations", 0), {"tolerationSeconds": 0}, "spec.template.spec.tolerations[0].tolerationSeconds"),
    ],
)
def test_an_addition_to_an_atomic_value_is_a_difference(where, added, path):
    # A Service with a narrowed selector has no endpoints, and fieldsV1 does not show the addition.
    standing = rich_deployment()
    at(standing, where).update(added)
    assert paths(compare(wanted_deployment(), standing)) == [path]


def test_a_narrowed_service_or_ingress_is_restored():
    objects = parity_objects("minimal")
    service, ingress = objects["Service/minimal"], objects["Ingress/inference-minimal"]
    narrowed = changed(service, ("spec", "selector", "track"), "")
    assert paths(differences(without_defaults(service), observed(narrowed))) == ["spec.selector.track"]
    narrowed = changed(ingress, ("spec", "rules", 0, "host"), "example.com")
    assert paths(differences(without_defaults(ingress), observed(narrowed))) == ["spec.rules[0].host"]


def test_server_defaults_in_a_metric_are_in_sync_and_one_more_metric_is_not():
    hpa = parity_objects("autoscaled")["HorizontalPodAutoscaler/autoscaled"]
    defaulted = copy.deepcopy(hpa)
    defaulted["spec"]["metrics"][0]["resource"]["container"] = "inference"
    assert differences(hpa, observed(defaulted)) == ()
    more = copy.deepcopy(hpa)
    more["spec"]["metrics"].append(hpa["spec"]["metrics"][0])
    assert paths(differences(hpa, observed(more))) == ["spec.metrics"]


def test_quantities_compare_by_value_only_in_quantity_fields():
    manifest = wanted_deployment()
    at(manifest, CONTAINER)["resources"]["requests"] = {"cpu": "1000m", "memory": "4096Mi", "nvidia.com/gpu": 2}
    at(manifest, POD)["volumes"][1]["emptyDir"]["sizeLimit"] = "2048Mi"
    assert compare(manifest, rich_deployment()) == ()
    text = changed(wanted_deployment(), (*CONTAINER, "env", 0, "value"), "1000m")
    standing = changed(rich_deployment(), (*CONTAINER, "env", 0, "value"), "1")
    assert paths(compare(text, standing)) == [f"{INFERENCE}.env[A].value"]


@pytest.mark.parametrize("empty", [None, "", {}, []])
def test_an_empty_value_equals_an_absent_one(empty):
    manifest = changed(wanted_deployment(), (*CONTAINER, "workingDir"), empty)
    assert compare(manifest, rich_deployment()) == ()
    nested = changed(wanted_deployment(), (*CONTAINER, "lifecycle"), {"preStop": empty})
    assert compare(nested, rich_deployment()) == ()


@pytest.mark.parametrize(("wanted", "there"), [("", "/srv"), ([], ["x"]), (0, None), (False, None)])
def test_an_empty_value_differs_from_others_and_zero_and_false_are_values(wanted, there):
    manifest = changed(wanted_deployment(), (*CONTAINER, "workingDir"), wanted)
    standing = changed(rich_deployment(), (*CONTAINER, "workingDir"), there)
    assert paths(compare(manifest, standing)) == [f"{INFERENCE}.workingDir"]


@pytest.mark.parametrize("where", [("metadata", "labels"), ("metadata", "annotations"), (*POD, "nodeSelector")])
def test_an_empty_label_annotation_or_node_label_is_a_value(where):
    manifest, standing = wanted_deployment(), rich_deployment()
    at(manifest, where)["flag"] = ""
    assert len(compare(manifest, standing)) == 1
    at(standing, where)["flag"] = ""
    assert compare(manifest, standing) == ()


def test_a_port_without_protocol_is_a_tcp_port():
    manifest = without(wanted_deployment(), (*CONTAINER, "ports", 0, "protocol"))
    assert differences(manifest, observed(rich_deployment())) == ()


def test_the_last_of_two_variables_with_the_same_name_counts():
    standing = rich_deployment()
    at(standing, CONTAINER)["env"].append({"name": "A", "value": "other"})
    assert paths(compare(wanted_deployment(), standing)) == [f"{INFERENCE}.env[A].value"]


def test_the_revision_is_never_compared():
    manifest = wanted_deployment()
    manifest["metadata"]["annotations"][names.REVISION_ANNOTATION] = "2027-01-01T00:00:00+00:00"
    assert compare(manifest, rich_deployment()) == ()
    del manifest["metadata"]["annotations"][names.REVISION_ANNOTATION]
    assert compare(manifest, rich_deployment()) == ()


def test_excluded_paths_are_ignored_with_everything_below_them():
    standing = changed(rich_deployment(), (*CONTAINER, "image"), "other:1")
    standing["spec"]["replicas"] = 7
    manifest = without(wanted_deployment(), ("spec", "replicas"))
    assert paths(compare(manifest, standing)) == [f"{INFERENCE}.image", "spec.replicas"]
    assert paths(compare(manifest, standing, exclude={"spec.replicas"})) == [f"{INFERENCE}.image"]
    assert paths(compare(manifest, standing, exclude={"spec.template"})) == ["spec.replicas"]
    assert len(compare(manifest, standing, exclude={"spec.rep", "spec.temp"})) == 2


def test_new_items_come_last_and_all_others_keep_their_position():
    manifest = wanted_deployment()
    container = at(manifest, CONTAINER)
    container["env"] = [{"name": name, "value": "x"} for name in ("NEW", "D", "ANOTHER", "A")]
    untouched = copy.deepcopy(manifest)
    ordered = in_observed_order(manifest, observed(rich_deployment()))
    assert [variable["name"] for variable in at(ordered, (*CONTAINER, "env"))] == ["A", "D", "NEW", "ANOTHER"]
    assert at(ordered, (*CONTAINER, "args")) == container["args"]
    assert manifest == untouched


def test_a_difference_is_readable_text():
    assert str(Difference("spec.replicas", 3, 2)) == "spec.replicas: is 3, should be 2"
    assert str(Difference("spec.replicas", None, 2)) == "spec.replicas: is missing, should be 2"
    assert str(Difference("metadata.labels.a", "b", None)) == "metadata.labels.a: is 'b', should be absent"
    assert len(str(Difference("x", "a" * 500, "b" * 500))) < 200


def test_no_value_of_a_variable_is_ever_shown():
    secret = "s3cr3t"  # noqa: S105
    manifest = wanted_deployment()
    at(manifest, CONTAINER)["env"] = [{"name": "A", "value": secret}, {"name": "TOKEN", "value": secret}]
    standing = changed(rich_deployment(), (*CONTAINER, "env", 3, "value"), secret)
    gone = changed(rich_deployment(), (*POD, "containers"), [])
    no_template = without(rich_deployment(), ("spec", "template"))
    for found in (compare(manifest, standing), compare(manifest, gone), compare(manifest, no_template)):
        assert found
        assert secret not in f"{found} {list(map(str, found))}"
    container = {"name": "a", "env": [{"name": "TOKEN", "value": secret}]}
    assert (
        str(Difference("spec.x", None, [container]))
        == "spec.x: is missing, should be [{'name': 'a', 'env': ['TOKEN']}]"
    )
    assert f"{INFERENCE}.env[TOKEN]: is missing" in map(str, compare(manifest, standing))
