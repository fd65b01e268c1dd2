"""Makes text from items safe for logs, terminals, Events and the reported status: printable, and limited in length."""

import re
from typing import Final

MAX_LENGTH: Final = 60
_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")


def printable(text: str) -> str:
    """Escapes non-printable characters, such as terminal escapes (\\x1b) and changes of text direction (\\u202e)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def truncate(text: str, max_length: int = MAX_LENGTH) -> str:
    """Makes text printable, and cuts it to `max_length` characters with an ellipsis at the end."""
    # The text may be very long, so only the part that can be shown is escaped.
    text = printable(text[: max_length + 1])
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def terminal_safe(line: str) -> str:
    """Escapes the non-printable characters of a line, except for ANSI colours and styles."""
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(_STYLE.split(line)))
