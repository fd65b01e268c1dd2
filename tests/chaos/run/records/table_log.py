"""Reads the table's stream during the run and records every version of every item with its time."""

import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gco_stream.model import wire
from tests.chaos.run.records.evidence import Change, Plain

# Frequent enough to time writes, and rare enough not to slow down the table.
_PAUSE = 0.2
_LOOK_FOR_SHARDS = 5.0
_PAGE = 1000


class TableLog:
    """Reads the stream from its beginning until `__exit__`. `streams` is a boto3 client for this thread only."""

    def __init__(self, streams: Any, arn: str) -> None:
        self._streams = streams
        self._arn = arn
        self._lock = threading.Lock()
        self._changes: list[Change] = []
        self._iterators: dict[str, str | None] = {}
        self._over = threading.Event()
        self._rounds = 0
        self._next_look = 0.0
        self._turned = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="table log")

    def __enter__(self) -> "TableLog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def changes(self) -> tuple[Change, ...]:
        """Returns all changes so far."""
        with self._lock:
            return tuple(self._changes)

    def catch_up(self, seconds: float = 120.0) -> tuple[Change, ...]:
        """Waits until all changes up to now have been read and returns them."""
        self._next_look = 0.0
        with self._turned:
            # The current round may have already passed a shard.
            wanted = self._rounds + 2
            if not self._turned.wait_for(lambda: self._rounds >= wanted, seconds):
                raise TimeoutError("the table's stream cannot be read")
        return self.changes()

    def _run(self) -> None:
        while not self._over.wait(_PAUSE):
            try:
                self._round()
            except (ClientError, BotoCoreError):
                continue
            with self._turned:
                self._rounds += 1
                self._turned.notify_all()

    def _look_for_shards(self) -> None:
        description = self._streams.describe_stream(StreamArn=self._arn)["StreamDescription"]
        for shard in description["Shards"]:
            known = shard["ShardId"]
            if known not in self._iterators:
                answer = self._streams.get_shard_iterator(
                    StreamArn=self._arn, ShardId=known, ShardIteratorType="TRIM_HORIZON"
                )
                self._iterators[known] = answer["ShardIterator"]

    def _round(self) -> None:
        if time.monotonic() >= self._next_look:
            self._look_for_shards()
            self._next_look = time.monotonic() + _LOOK_FOR_SHARDS
        for known in self._iterators:
            while self._iterators[known]:
                page = self._streams.get_records(ShardIterator=self._iterators[known], Limit=_PAGE)
                now = time.time()
                records = page["Records"]
                with self._lock:
                    self._changes += [_change(now, record["dynamodb"]) for record in records]
                self._iterators[known] = page.get("NextShardIterator")
                if len(records) < _PAGE:
                    break


def _change(now: float, record: dict[str, Any]) -> Change:
    return Change(
        now, record["Keys"]["endpoint_name"]["S"], _plain(record.get("OldImage")), _plain(record.get("NewImage"))
    )


def _plain(image: dict[str, Any] | None) -> Plain:
    # The streams of DynamoDB Local contain `{}` for an empty map or list.
    return {key: wire.decode_value(_mended(value)) for key, value in (image or {}).items()}


def _mended(value: dict[str, Any]) -> dict[str, Any]:
    if not value:
        return {"M": {}}
    ((tag, content),) = value.items()
    if tag == "M":
        return {"M": {key: _mended(inner) for key, inner in content.items()}}
    if tag == "L":
        return {"L": [_mended(inner) for inner in content]}
    return value
