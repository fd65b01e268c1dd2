"""Problems of an item, with messages for its author.

The messages appear in logs, Events, terminals and the item itself, so they are short and contain only printable text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from gco_stream.model.text import MAX_LENGTH, printable, truncate

_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an item.

    `path`: the field, such as `spec.port`. `value`: None if it is missing. `allowed`: completes "must be ..." in the
    message. `complaint`: replaces the message, for example if the value is secret or if several fields conflict.
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
            return f"{path}: missing required value: must be {self.allowed}"
        return f"{path}: invalid value {_repr(self.value)}: must be {self.allowed}"


def summarize(problems: Sequence[Problem]) -> str:
    """Joins the first few problems into one line and appends the number of the others.

    The number of problems is limited because the line must fit into the item and into an Event.
    """
    listed = "; ".join(map(str, islice(problems, _MAX_LISTED)))
    more = len(problems) - _MAX_LISTED
    return f"{listed}; and {more} more" if more > 0 else listed


def _repr(value: object) -> str:
    match value:
        case Decimal():
            return truncate(str(value))
        case str() | bytes():
            text = repr(value[:MAX_LENGTH])
            return truncate(text if len(value) <= MAX_LENGTH else text[:-1] + "…")
        case dict() | list() | tuple() | frozenset() | set() if len(value) > MAX_LENGTH:
            return f"a {type(value).__name__} of {len(value)}"
        case frozenset() | set():
            # Sorted, because the order differs between processes, and a report is rewritten if its text changes.
            return truncate(f"{{{', '.join(sorted(map(repr, value)))}}}")
        case _:
            return truncate(repr(value))
