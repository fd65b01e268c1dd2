"""What is wrong with an item, in words that its author can act on.

They go to logs, Events, terminals and back into the item, so they are short and printable whatever the item holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from gco_stream.model.text import MAX_LENGTH, printable, truncate

_MAX_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an item: where (`spec.port`), what stands there, and what is allowed.

    `complaint` says it where the fault lies between fields, so that no single value is to blame, and where the value
    must not be shown.
    """

    path: str
    value: object
    allowed: str
    complaint: str = ""

    def __str__(self) -> str:
        path = printable(self.path)
        if self.complaint:
            return f"{path}: {self.complaint}"
        if self.value is None:
            return f"{path}: missing; needed: {self.allowed}"
        return f"{path}: {_repr(self.value)} is not allowed; allowed: {self.allowed}"


def summarize(problems: Sequence[Problem]) -> str:
    """The first problems in one line, and how many more there are: it has to fit into the item and into an Event."""
    words = "; ".join(map(str, islice(problems, _MAX_PROBLEMS)))
    more = len(problems) - _MAX_PROBLEMS
    return f"{words}; and {more} more" if more > 0 else words


def _repr(value: object) -> str:
    match value:
        case Decimal():
            return truncate(str(value))
        case str() | bytes():
            text = repr(value[:MAX_LENGTH])
            return truncate(text if len(value) <= MAX_LENGTH else text[:-1] + "…")
        case dict() | list() | tuple() | frozenset() | set() if len(value) > MAX_LENGTH:
            return f"a {type(value).__name__} of {len(value)}"
        case _:
            return truncate(repr(value))
