"""Object names that two items claim: an endpoint `a` with a canary, and an endpoint `a-canary`."""

from gco_stream.engine.reconcile.endpoint_planner import names_claimed_by_others
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from tests.support.items import endpoint, item, read
from tests.support.simulated_cluster import CANARY


def among(*items: Endpoint | InvalidItem) -> dict[str, Endpoint | InvalidItem]:
    return {one.name: one for one in items}


def test_the_canary_name_is_claimed_by_an_item_of_that_name_even_an_invalid_one() -> None:
    assert names_claimed_by_others("a", among(endpoint("a", spec=CANARY), endpoint("a-canary")).get) == {"a-canary"}
    assert names_claimed_by_others("a", among(read(item("a-canary", desired_state="?"))).get) == {"a-canary"}
    assert names_claimed_by_others("a", among(endpoint("a", spec=CANARY)).get) == frozenset()


def test_an_endpoints_own_name_is_claimed_by_an_item_with_a_canary() -> None:
    assert names_claimed_by_others("a-canary", among(endpoint("a", spec=CANARY)).get) == {"a-canary"}
    assert names_claimed_by_others("a-canary", among(endpoint("a")).get) == frozenset()
    assert names_claimed_by_others("a-canary", {}.get) == frozenset()
