"""Simulates users who change endpoints at a steady rate. Uses little CPU, because it shares the program's cores."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import orjson
import urllib3

from bench.place import Place

_AT_ONCE = 8
_PATIENCE = 30.0
_ATTEMPTS = 5
_PAUSE = 0.1
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.UpdateItem",
    # DynamoDB Local requires a signature but does not verify it. Computing one takes longer than the call.
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One write of a user. Times are from `time.monotonic`; `revision` is the item's updated_at."""

    name: str
    revision: str
    sent: float
    acknowledged: float


class Users:
    """Context manager that writes `spec.replicas` and `updated_at` to a place's table, as GCO's `scale` does."""

    def __init__(self, place: Place) -> None:
        self._table = place.namespace
        self._pool = urllib3.PoolManager(maxsize=_AT_ONCE, retries=False, timeout=_PATIENCE)
        self._url = f"{place.plane.dynamodb_url}/"
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="user")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        self._pool.clear()

    def scale(self, name: str, replicas: int) -> Change:
        """Sets the replicas of an endpoint. Raises RuntimeError if the write fails."""
        revision = datetime.now(UTC).isoformat(timespec="microseconds")
        body = {
            "TableName": self._table,
            "Key": {"endpoint_name": {"S": name}},
            "UpdateExpression": "SET spec.replicas = :r, updated_at = :u",
            "ConditionExpression": "attribute_exists(endpoint_name)",
            "ExpressionAttributeValues": {":r": {"N": str(replicas)}, ":u": {"S": revision}},
        }
        sent = time.monotonic()
        for _ in range(_ATTEMPTS):
            # Retries like an SDK. DynamoDB Local times out on its own locks on a busy machine, and closes connections
            # that were idle while it was frozen. The write is idempotent.
            try:
                answer = self._pool.request("POST", self._url, body=orjson.dumps(body), headers=_HEADERS)
            except urllib3.exceptions.ProtocolError as error:
                problem = str(error)
            else:
                if answer.status == 200:
                    return Change(name, revision, sent, time.monotonic())
                problem = f"{answer.status} {answer.data[:200]!r}"
                if answer.status < 500:
                    break
            time.sleep(_PAUSE)
        raise RuntimeError(f"{name}: {problem}")

    def at_pace(
        self, names: Sequence[str], per_second: float, seconds: float, replicas: Callable[[int], int]
    ) -> list[Change]:
        """Changes the names in turn, repeatedly, and returns once the last write is answered.

        `replicas` maps the number of a change to its replicas. Writes are delayed if they take longer than the rate
        allows.
        """
        sent: list[Future[Change]] = []
        began = time.monotonic()
        for number in range(round(per_second * seconds)):
            if (early := began + number / per_second - time.monotonic()) > 0:
                time.sleep(early)
            sent.append(self._threads.submit(self.scale, names[number % len(names)], replicas(number)))
        return [one.result(_PATIENCE) for one in sent]
