"""Which rows an address asks for."""

import pytest

from gco_stream.server.page.query import ROWS_PER_PAGE, WRONG, Query, paginate
from tests.support.status_page import fleet, rows

FLEET = fleet(rows(1000))


def names(**parameters: str) -> list[str]:
    return [row.name for row in paginate(FLEET, Query.of(parameters)).rows]


def test_without_anything_asked_it_is_the_first_page_by_name() -> None:
    assert names() == [f"e{number:05}" for number in range(ROWS_PER_PAGE)]


def test_search_finds_a_part_of_a_name_in_any_case() -> None:
    assert names(q=" E0042 ") == [f"e0042{digit}" for digit in range(10)]
    assert names(q="nothing") == []


def test_filters_narrow_it_down() -> None:
    assert names(state=WRONG) == [f"e{number:05}" for number in range(7, 1000, 100)]
    assert names(state="error", q="e0010") == ["e00107"]
    assert "e00007" not in names(region="eu-west-1")


def test_a_page_beyond_the_last_is_the_last() -> None:
    found = paginate(FLEET, Query.of({"page": "999"}))
    assert (found.page, found.pages, found.first, found.last) == (20, 20, 951, 1000)


def test_the_order_can_be_turned() -> None:
    assert names(sort="-name")[0] == "e00999"
    assert names(sort="state")[0] == "e00007"


@pytest.mark.parametrize(
    "mangled",
    [{"page": "-1"}, {"page": "9" * 99}, {"page": "٣"}, {"sort": "-"}, {"sort": "__class__"}, {"q": "\x00" * 999}],
)
def test_a_mangled_address_shows_something(mangled: dict[str, str]) -> None:
    query = Query.of(mangled)
    assert (query.page, query.sort) == (1, "name")
    paginate(FLEET, query)


def test_a_link_keeps_what_is_asked_and_says_no_more_than_it_must() -> None:
    query = Query.of({"q": "a b", "page": "3", "sort": "-state"})
    assert query.link(page=4) == "/?q=a+b&sort=-state&page=4"
    assert query.link(search="") == "/?sort=-state"
    assert query.sorted_by("state") == "/?q=a+b&sort=state"
    assert Query().link() == "/"
