"""The query of the fleet page (search, filters, sort order, page number), and the rows that it selects.

Invalid query parameters fall back to their defaults, so an old or truncated link never shows an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from gco_stream.server.page.view_models import Fleet, Row

ROWS_PER_PAGE: Final = 50
MAX_SEARCH: Final = 100
NEEDS_ATTENTION: Final = "needs attention"
HELD: Final = "held"
_SORTS: Final = ("name", "state", "desired", "ready")


@dataclass(frozen=True, slots=True)
class Query:
    """A query of the fleet page.

    `search`: part of a name. `state`: a state in this region, NEEDS_ATTENTION or HELD. `region`: a region that the
    endpoint targets or that has reported it. A filter that is "" is not applied. `page`: starts at 1.
    """

    search: str = ""
    state: str = ""
    region: str = ""
    sort: str = "name"
    descending: bool = False
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Query":
        """Returns the query for the query parameters of a URL."""
        order = parameters.get("sort", "")
        sort = order.removeprefix("-")
        page = parameters.get("page", "")
        return cls(
            search=parameters.get("q", "").strip()[:MAX_SEARCH],
            state=parameters.get("state", "")[:MAX_SEARCH],
            region=parameters.get("region", "")[:MAX_SEARCH],
            sort=sort if sort in _SORTS else "name",
            descending=order.startswith("-") and sort in _SORTS,
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def link(self, **changes: Any) -> str:
        """Returns the URL of this query with some fields replaced. `page` is reset to 1 unless it is one of them."""
        other = replace(self, **({"page": 1} | changes))
        parameters = {
            "q": other.search,
            "state": other.state,
            "region": other.region,
            "sort": ("-" if other.descending else "") + other.sort if (other.sort, other.descending) != _PLAIN else "",
            "page": str(other.page) if other.page > 1 else "",
        }
        text = urlencode({name: value for name, value in parameters.items() if value})
        return f"/?{text}" if text else "/"

    def sorted_by(self, sort: str) -> str:
        """Returns the URL of this query sorted by a column, or in reverse order if it is already sorted by it."""
        return self.link(sort=sort, descending=sort == self.sort and not self.descending)

    @property
    def is_filtered(self) -> bool:
        """Whether a search or a filter is active."""
        return bool(self.search or self.state or self.region)


_PLAIN: Final = ("name", False)


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of the selected rows. `found`: the number of selected rows. `page`: starts at 1."""

    rows: tuple[Row, ...]
    found: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The number of the first row on this page, counted from 1; 0 if there are no rows."""
        return (self.page - 1) * ROWS_PER_PAGE + 1 if self.found else 0

    @property
    def last(self) -> int:
        """The number of the last row on this page."""
        return min(self.page * ROWS_PER_PAGE, self.found)


def paginate(fleet: Fleet, query: Query) -> ResultPage:
    """Returns one page of the rows that a query selects. A page number that is too high selects the last page."""
    rows = [row for row in fleet.rows if _matches(row, query)] if query.is_filtered else list(fleet.rows)
    if (query.sort, query.descending) != _PLAIN:
        rows.sort(key=_KEYS[query.sort], reverse=query.descending)
    pages = max(1, -(-len(rows) // ROWS_PER_PAGE))
    page = min(query.page, pages)
    return ResultPage(tuple(rows[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]), len(rows), page, pages)


def _matches(row: Row, query: Query) -> bool:
    if query.search and query.search.lower() not in row.name:
        return False
    if query.region and all(region != query.region for region, _ in row.regions):
        return False
    match query.state:
        case "":
            return True
        case "needs attention":
            return bool(row.reason)
        case "held":
            return row.held
    return row.state == query.state


_KEYS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "name": lambda row: row.name,
    "state": lambda row: (row.state, row.name),
    "desired": lambda row: (row.desired, row.name),
    "ready": lambda row: (row.ready, row.desired_replicas, row.name),
}
