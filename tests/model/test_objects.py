import pytest

from gco_stream.model.objects import canonical_hash


def test_the_hash_depends_on_the_order_of_lists_but_not_of_maps():
    assert canonical_hash({"a": 1, "b": {"c": 2, "d": 3}}) == canonical_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert canonical_hash([1, 2]) != canonical_hash([2, 1])


def test_a_tuple_has_the_hash_of_a_list():
    assert canonical_hash({"args": ("a", "b")}) == canonical_hash({"args": ["a", "b"]})


def test_strings_numbers_nulls_and_absence_have_different_hashes():
    values = ["1", 1, None, {}, {"a": None}, [], [None], "", False]
    assert len({canonical_hash(value) for value in values}) == len(values)


def test_the_hash_is_the_same_in_every_process_and_version():
    # Hashes are in annotations of running Deployments, so a different result would restart all pods.
    assert canonical_hash({"image": "serve:1.0", "env": {"B": "2", "A": "ä"}}) == "b806f5c54301abdcf06c43c2713f249e"


def test_a_value_that_json_does_not_have_is_rejected():
    with pytest.raises(TypeError):
        canonical_hash({"replicas": object()})
