import json
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.cluster.api.objects import observe
from gco_stream.cluster.cache import packed_object as compact
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership
from tests.support.raw_objects import raw

pytestmark = pytest.mark.slow

PARITY = Path(__file__).parent.parent.parent / "fixtures" / "parity" / "objects"

text = st.text(max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
table = st.dictionaries(text, plain, max_size=5)
objects = st.builds(
    ObservedObject,
    ref=st.builds(
        ObjectRef, kind=st.sampled_from(Kind), namespace=st.just("ns"), name=st.sampled_from(["a", "a-canary"])
    ),
    uid=st.uuids().map(str),
    resource_version=st.integers(1, 2**63).map(str),
    generation=st.integers(0, 2**31),
    deleting=st.booleans(),
    labels=st.dictionaries(text, text, max_size=4),
    annotations=st.dictionaries(text | st.just("gco.io/endpoint"), st.sampled_from(["a", "b"]), max_size=4),
    spec=table,
    status=table,
    ownership=st.builds(
        Ownership,
        applied=st.booleans(),
        stamped=st.booleans(),
        legacy=st.booleans(),
        replicas=st.booleans(),
        fields=table,
    ),
    created=text,
    deleting_since=text,
)


@given(objects)
def test_a_packed_object_is_unpacked_unchanged(observed: ObservedObject) -> None:
    record = compact.pack(observed)
    assert compact.unpack(observed.ref, record) == observed
    assert compact.uid_of(record) == observed.uid
    assert compact.version_of(record) == int(observed.resource_version)
    assert compact.endpoint_of(observed.ref, record) == observed.endpoint
    assert compact.may_be_applied_by_us(record) == (observed.ownership.applied and observed.endpoint is not None)


@pytest.mark.parametrize(
    ("kind", "name", "endpoint"),
    [
        ("Deployment", "llm", "llm"),
        ("Deployment", "llm-canary", "llm"),
        ("Deployment", "llm-canary", "llm-canary"),
        ("Ingress", "inference-llm", "llm"),
        ("Ingress", "inference-llm", None),
        ("Service", "llm", "another"),
    ],
)
def test_the_endpoint_is_found_with_and_without_inflating(kind: str, name: str, endpoint: str | None) -> None:
    observed = observe(raw(name, kind=kind, endpoint=endpoint))
    assert compact.endpoint_of(observed.ref, compact.pack(observed)) == endpoint


def test_records_that_differ_only_in_version_compare_as_the_same() -> None:
    one, later = compact.pack(observe(raw(version=1))), compact.pack(observe(raw(version=2)))
    assert one != later
    assert compact.same_but_version(one, later)
    assert not compact.same_but_version(one, compact.pack(observe(raw(version=2, spec={"replicas": 2}))))
    assert not compact.same_but_version(one, compact.pack(observe(raw(version=2, uid="u2"))))
    assert not compact.same_but_version(one, compact.pack(observe(raw(version=2, applied=False))))


def test_real_objects_take_a_few_hundred_bytes() -> None:
    sizes = []
    for path in sorted(PARITY.glob("*.json")):
        for manifest in json.loads(path.read_text()).values():
            metadata = {**manifest["metadata"], "uid": str(uuid.uuid4()), "resourceVersion": "123456", "generation": 1}
            sizes.append(sys.getsizeof(compact.pack(observe({**manifest, "metadata": metadata}))))
    assert sizes
    assert sum(sizes) / len(sizes) < 400
