"""Conversion of item text for display in logs, terminals, Events and the reported status: printable and bounded."""

import re
from typing import Final

MAX_LENGTH: Final = 60
_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")


def printable(text: str) -> str:
    """Escapes all characters that move the cursor, are invisible or change the direction of text (\\x1b, \\u202e)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def truncate(text: str, max_length: int = MAX_LENGTH) -> str:
    """Returns printable text of at most `max_length` characters, ending in … if it was cut."""
    # An escaped character can take up to ten, so only as many as can be shown are escaped.
    text = printable(text[: max_length + 1])
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def terminal_safe(line: str) -> str:
    """Returns the line for a terminal: colours and styles stay, all other non-printable characters are escaped."""
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(_STYLE.split(line)))
