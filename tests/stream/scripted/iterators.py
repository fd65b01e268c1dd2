"""The shard iterator: a token for a position in a shard, valid for 15 minutes.

The server keeps no state per reader. GetRecords returns the records at a position and the iterator for the next one. An
iterator may be used repeatedly, so a page whose response was lost can be requested again. Only the last page of a
closed shard has no next iterator, which is the sole sign that the shard was read to its end.
"""

import base64
import binascii
import bisect
import json
from dataclasses import dataclass
from typing import Final

from tests.stream.scripted.errors import OperationRefused, invalid, not_found
from tests.stream.scripted.shards import Record, Shard, written

LIFE: Final = 15 * 60
_VERSION: Final = "|1|"


@dataclass(frozen=True, slots=True)
class Iterator:
    """`number`: the sequence number to start from; None for the end of the shard at the time of the first read."""

    arn: str
    shard: str
    number: int | None
    issued: float

    def token(self) -> str:
        """The opaque token for the client."""
        secret = base64.b64encode(json.dumps([self.shard, self.number, self.issued]).encode()).decode()
        return f"{self.arn}{_VERSION}{secret}"


def read_token(token: str) -> Iterator:
    arn, _, secret = token.partition(_VERSION)
    try:
        shard, number, issued = json.loads(base64.b64decode(secret, validate=True))
    except (binascii.Error, ValueError):
        raise invalid("Invalid ShardIterator") from None
    return Iterator(arn, shard, number, issued)


def first_number(shard: Shard, kind: str, sequence_number: str | None) -> int | None:
    """The first sequence number of an iterator of the type `kind`; None for LATEST."""
    by_number = kind in {"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}
    if by_number != (sequence_number is not None):
        why = "Invalid SequenceNumber" if by_number else "SequenceNumber should not be passed for this iterator type"
        raise invalid(f"One or more parameter values were invalid: {why}")
    if kind == "LATEST":
        return None
    if kind == "TRIM_HORIZON":
        return horizon(shard)
    number = int(sequence_number or 0)
    if number < shard.starting:
        raise invalid("Invalid SequenceNumber for the shard")
    number += kind == "AFTER_SEQUENCE_NUMBER"
    _not_trimmed(shard, number)
    return number


def page(shard: Shard, number: int | None, *, records: int, size: int) -> tuple[list[Record], int | None]:
    """Returns the records of one page, limited in number and bytes, and the first number of the next page.

    That number is None after the last page of a closed shard. Raises Refused if the position was trimmed.
    """
    if number is None:
        number = end_of(shard)
    _not_trimmed(shard, number)
    begin = bisect.bisect_left(shard.records, number, key=lambda record: record.number)
    taken: list[Record] = []
    total = 0
    for record in shard.records[begin : begin + records]:
        total += record.size
        # A record that is larger than a page is returned on a page of its own.
        if taken and total > size:
            break
        taken.append(record)
    end = begin + len(taken)
    if end == len(shard.records):
        return taken, None if shard.closed else max(number, end_of(shard))
    return taken, shard.records[end].number


def horizon(shard: Shard) -> int:
    """The first sequence number that is not trimmed."""
    return shard.records[shard.trimmed - 1].number + 1 if shard.trimmed else shard.starting


def end_of(shard: Shard) -> int:
    """The first sequence number after the shard's current records."""
    return shard.records[-1].number + 1 if shard.records else shard.starting


def alive(iterator: Iterator, now: float) -> None:
    if now - iterator.issued > LIFE:
        raise OperationRefused("ExpiredIteratorException", "Iterator expired.")


def readable(shard: Shard | None) -> Shard:
    if shard is None or shard.gone:
        raise not_found("Shard does not exist")
    return shard


def _not_trimmed(shard: Shard, number: int) -> None:
    if number < horizon(shard):
        message = f"The operation attempted to read past the oldest stream record: {written(number)}"
        raise OperationRefused("TrimmedDataAccessException", message)
