"""Finalizers of terminating objects, from the API server's response into the record and back."""

from gco_stream.cluster.api.objects import observe
from gco_stream.cluster.cache import packed_object as compact
from tests.support.raw_objects import raw

GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion", "example.com/hold"]}


def test_the_finalizers_of_a_terminating_object_are_kept_in_its_record() -> None:
    observed = observe(raw(**GOING))
    assert observed.finalizers == ("foregroundDeletion", "example.com/hold")
    assert compact.unpack(observed.ref, compact.pack(observed)) == observed


def test_a_record_changes_when_a_finalizer_is_removed() -> None:
    before, after = observe(raw(**GOING)), observe(raw(**{**GOING, "finalizers": ["example.com/hold"]}))
    assert not compact.same_but_version(compact.pack(before), compact.pack(after))


def test_the_finalizers_of_other_objects_are_not_stored() -> None:
    plain, held = raw(), raw(finalizers=["ingress.k8s.aws/resources"])
    assert observe(held).finalizers == ()
    assert len(compact.pack(observe(held))) == len(compact.pack(observe(plain)))
