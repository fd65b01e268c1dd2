"""Text of an item on its way to people: logs, terminals, Events and the table's status are no place for all of it."""

import re
from typing import Final

MAX_LENGTH: Final = 60
_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")


def printable(text: str) -> str:
    """The text with everything that moves a cursor, hides or turns letters around written out (\\x1b, \\u202e)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def truncate(text: str, max_length: int = MAX_LENGTH) -> str:
    """The printable text in at most so many characters, ending in … where something is missing."""
    # Written out, one character may become ten: no more of it is looked at than may be shown.
    text = printable(text[: max_length + 1])
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def terminal_safe(line: str) -> str:
    """The line as it may be shown: colours and styles stay, everything else that is not printable is written out."""
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(_STYLE.split(line)))
