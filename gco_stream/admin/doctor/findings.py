"""What the doctor says of one thing."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """fine; doubtful: the controller works, but not as well as it could, or it could not be found out; wrong: it does
    not work.
    """

    FINE = "fine"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` in a word or two, what was found, and for whatever is not fine what mends it: a command, or advice."""

    subject: str
    verdict: Verdict
    said: str
    mend: str = ""


def fine(subject: str, said: str) -> Finding:
    """Nothing has to be done about it."""
    return Finding(subject, Verdict.FINE, said)


def doubtful(subject: str, said: str, mend: str) -> Finding:
    """The controller works all the same."""
    return Finding(subject, Verdict.DOUBTFUL, said, mend)


def wrong(subject: str, said: str, mend: str) -> Finding:
    """The controller does not work until it is mended."""
    return Finding(subject, Verdict.WRONG, said, mend)
