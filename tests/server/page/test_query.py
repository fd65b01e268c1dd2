"""Tests of the rows that a query string selects."""

import pytest

from gco_stream.server.page.query import NEEDS_ATTENTION, ROWS_PER_PAGE, Query, paginate
from tests.support.status_page import fleet, rows

FLEET = fleet(rows(1000))


def names(**parameters: str) -> list[str]:
    return [row.name for row in paginate(FLEET, Query.of(parameters)).rows]


def test_the_default_is_the_first_page_sorted_by_name() -> None:
    assert names() == [f"e{number:05}" for number in range(ROWS_PER_PAGE)]


def test_search_matches_part_of_a_name_in_any_case() -> None:
    assert names(q=" E0042 ") == [f"e0042{digit}" for digit in range(10)]
    assert names(q="nothing") == []


def test_filters_combine_with_search() -> None:
    assert names(state=NEEDS_ATTENTION) == [f"e{number:05}" for number in range(7, 1000, 100)]
    assert names(state="error", q="e0010") == ["e00107"]
    assert "e00007" not in names(region="eu-west-1")


def test_a_page_beyond_the_last_is_the_last() -> None:
    found = paginate(FLEET, Query.of({"page": "999"}))
    assert (found.page, found.pages, found.first, found.last) == (20, 20, 951, 1000)


def test_the_sort_order_can_be_reversed() -> None:
    assert names(sort="-name")[0] == "e00999"
    assert names(sort="state")[0] == "e00007"


@pytest.mark.parametrize(
    "parameters",
    [{"page": "-1"}, {"page": "9" * 99}, {"page": "٣"}, {"sort": "-"}, {"sort": "__class__"}, {"q": "\x00" * 999}],
)
def test_invalid_parameters_fall_back_to_defaults(parameters: dict[str, str]) -> None:
    query = Query.of(parameters)
    assert (query.page, query.sort) == (1, "name")
    paginate(FLEET, query)


def test_a_link_keeps_the_query_and_omits_defaults() -> None:
    query = Query.of({"q": "a b", "page": "3", "sort": "-state"})
    assert query.link(page=4) == "/?q=a+b&sort=-state&page=4"
    assert query.link(search="") == "/?sort=-state"
    assert query.sorted_by("state") == "/?q=a+b&sort=state"
    assert Query().link() == "/"
