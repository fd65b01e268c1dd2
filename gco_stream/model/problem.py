"""What is wrong with an item, in words that its author can act on.

They go to logs, Events, terminals and back into the item, so they are short and printable whatever the item holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from gco_stream.model.text import SHOWN, printable, shown

_TOLD = 5


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


def sentence(problems: Sequence[Problem]) -> str:
    """The first problems in one line, and how many more there are: it has to fit into the item and into an Event."""
    words = "; ".join(map(str, islice(problems, _TOLD)))
    more = len(problems) - _TOLD
    return f"{words}; and {more} more" if more > 0 else words


def _repr(value: object) -> str:
    match value:
        case Decimal():
            return shown(str(value))
        case str() | bytes():
            text = repr(value[:SHOWN])
            return shown(text if len(value) <= SHOWN else text[:-1] + "…")
        case dict() | list() | tuple() | frozenset() | set() if len(value) > SHOWN:
            return f"a {type(value).__name__} of {len(value)}"
        case _:
            return shown(repr(value))
