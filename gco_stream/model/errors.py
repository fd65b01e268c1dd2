"""What is wrong with an item, in words that its author can act on."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an item: where (`spec.port`), what stands there, and what is allowed.

    `complaint` says it where the fault lies between fields, so that no single value is to blame.
    """

    path: str
    value: object
    allowed: str
    complaint: str = ""

    def __str__(self) -> str:
        if self.complaint:
            return f"{self.path}: {self.complaint}"
        if self.value is None:
            return f"{self.path}: missing; needed: {self.allowed}"
        shown = str(self.value) if isinstance(self.value, Decimal) else repr(self.value)
        if len(shown) > _SHOWN:
            shown = shown[: _SHOWN - 1] + "…"
        return f"{self.path}: {shown} is not allowed; allowed: {self.allowed}"


def sentence(problems: Iterable[Problem]) -> str:
    """All problems in one line."""
    return "; ".join(map(str, problems))
