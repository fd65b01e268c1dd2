from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model import wire
from tests.support.items import item

pytestmark = pytest.mark.slow

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**37), 10**37) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), plain_values, max_size=6))
def test_decoding_reverses_encoding(plain: dict[str, object]) -> None:
    assert wire.decode(wire.encode(plain)) == plain


def test_integral_numbers_are_int() -> None:
    decoded = wire.decode({"a": {"N": "3.0"}, "b": {"N": "1.5"}, "c": {"N": "1E2"}})
    assert decoded == {"a": 3, "b": Decimal("1.5"), "c": 100}
    assert type(decoded["a"]) is int


def test_sets_of_strings_and_numbers_are_frozensets() -> None:
    assert wire.decode({"s": {"SS": ["b", "a"]}, "n": {"NS": ["1", "2.0"]}}) == {
        "s": frozenset({"a", "b"}),
        "n": frozenset({1, 2}),
    }


@pytest.mark.parametrize("broken", [{"X": "?"}, {}, {"S": "a", "N": "1"}, "text"])
def test_values_that_are_not_in_dynamodbs_form_are_rejected(broken: object) -> None:
    with pytest.raises(ValueError, match="not a DynamoDB"):
        wire.decode({"a": broken})


def test_an_unsupported_type_is_rejected_by_name() -> None:
    with pytest.raises(ValueError, match="does not support values of type object"):
        wire.encode({"a": object()})


def intent(**changes: object) -> str:
    return wire.intent_of(wire.encode(item(**changes)))


def test_intent_is_the_same_for_deploying_and_running() -> None:
    assert intent(desired_state="deploying") == intent(desired_state="running")
    assert intent(desired_state="stopped") != intent(desired_state="running")


def test_intent_treats_target_regions_as_a_set() -> None:
    assert intent(target_regions=["b", "a"]) == intent(target_regions=["a", "b"])
    assert intent(target_regions=["a"]) == intent(target_regions=frozenset({"a"}))
    assert intent(target_regions=["a"]) != intent(target_regions=["a", "b"])


def test_intent_compares_numbers_by_value() -> None:
    assert intent(spec={"replicas": Decimal("3.0")}) == intent(spec={"replicas": 3})
    assert intent(spec={"replicas": 3}) != intent(spec={"replicas": 4})


def test_intent_changes_with_an_unknown_attribute_of_the_spec() -> None:
    assert intent(spec={"future": {"x": 1}}) != intent()


def test_intent_does_not_change_with_status_and_times() -> None:
    assert intent(region_status={"us-east-1": {"state": "running"}}, updated_at="later") == intent()


def test_change_digest_covers_everything_but_status_and_updated_at() -> None:
    base = wire.change_digest(wire.encode(item()))
    assert wire.change_digest(wire.encode(item(updated_at="x", region_status={"r": {"state": "running"}}))) == base
    assert wire.change_digest(wire.encode(item(hold="a reason"))) != base
    assert wire.change_digest(wire.encode(item(desired_state="running"))) != base
