"""The wire protocol, and a record of every call.

The target, a header, names the API version and the operation; request and response bodies are JSON. Time is the running
loop's, so it may be fake in a test; `pass_time` advances the server's clock.
"""

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from tests.stream.scripted.errors import OperationRefused
from tests.stream.scripted.faults import Body, Call, Cut, Empty, Fault, Faults, Hang, Misfortune, Refuse, Reply, Slow
from tests.stream.scripted.iterators import read_token
from tests.stream.scripted.limits import Limits, RateExceeded
from tests.stream.scripted.operations import Content, Operations
from tests.stream.scripted.shards import Shard, name_of
from tests.stream.scripted.streams import KEY, START, Stream
from tests.stream.scripted.tables import Table

LATENCY: Final = 0.004
TABLE: Final = "endpoints"


class ScriptedDynamoDB:
    """A DynamoDB with the table `endpoints` and a stream with these `shards`; empty if no shards are given.

    Create it in a running loop. `calls`: every call so far.
    """

    def __init__(self, *shards: str) -> None:
        self.limits = Limits()
        self.operations = Operations(self.limits, self.now)
        self.calls: list[Call] = []
        self._faults = Faults()
        self._ahead = 0.0
        if shards:
            self.operations.make_stream(self.operations.make_table(TABLE), *shards)

    @property
    def table(self) -> Table:
        return self.operations.tables[TABLE]

    @property
    def stream(self) -> Stream:
        """The table's latest stream."""
        assert self.table.stream is not None
        return self.table.stream

    @property
    def shards(self) -> dict[str, Shard]:
        return self.stream.shards

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    def wall(self) -> datetime:
        return datetime.fromtimestamp(START + self.now(), UTC)

    def pass_time(self, seconds: float) -> None:
        self._ahead += seconds

    def record(self, name: str, shard: str, **parts: Any) -> None:
        """Writes a record for an item into this shard, independent of the table; `parts` override its fields."""
        self.stream.write(name, None, {KEY: {"S": name}}, shard=shard, **parts)

    def recreate_stream(self, *shards: str, label: str = "") -> None:
        """Disables the table's stream and enables a new one."""
        self.stream.end()
        self.operations.make_stream(self.table, *shards, label=label)

    def fail(self, operation: str, *misfortunes: Misfortune, shard: str = "", times: int = 1) -> None:
        """Injects faults into the next calls of `operation` (for one shard), in this order, each `times` times."""
        self._faults.script += [Fault(operation, misfortune, shard, times) for misfortune in misfortunes]

    def recover(self) -> None:
        """Removes all scripted faults."""
        self._faults.script.clear()

    def called(self, operation: str, shard: str = "") -> list[Call]:
        return [call for call in self.calls if call.operation == operation and shard in {"", call.shard}]

    def times(self, operation: str, shard: str = "") -> list[float]:
        return [call.began for call in self.called(operation, shard)]

    async def serve(self, target: str, body: bytes) -> Reply:
        """Returns the response to a request. It may never return, so the client needs a timeout."""
        operation, asked = target.partition(".")[2], json.loads(body)
        call = Call(operation, asked, _shard(asked), self.now())
        self.calls.append(call)
        try:
            await asyncio.sleep(LATENCY)
            with self._reader(call):
                return await self._reply(call, target, self._faults.of(operation, call.shard))
        except OperationRefused as refusal:
            call.outcome, call.limited = refusal.code, isinstance(refusal, RateExceeded)
            return _refusal(refusal)
        finally:
            call.ended = self.now()

    async def _reply(self, call: Call, target: str, misfortune: Misfortune | None) -> Reply:
        if misfortune is not None:
            call.outcome = type(misfortune).__name__
        match misfortune:
            case Refuse(code, message):
                raise OperationRefused(code, message)
            case Body(text, status):
                return Reply(status, text.encode())
            case Hang():
                await asyncio.get_running_loop().create_future()
            case Slow(seconds):
                await asyncio.sleep(seconds)
        call.answer = content = self._done(call, target, empty=isinstance(misfortune, Empty))
        call.outcome = call.outcome or "ok"
        return Reply(200, json.dumps(content).encode(), misfortune.share if isinstance(misfortune, Cut) else 1.0)

    def _done(self, call: Call, target: str, *, empty: bool) -> Content:
        perform = self.operations.by_name.get(target)
        if perform is None:
            raise OperationRefused("UnknownOperationException", target)
        if empty:
            return {"Records": [], "NextShardIterator": call.parameters["ShardIterator"]}
        return perform(call.parameters)

    def _reader(self, call: Call) -> AbstractContextManager[None]:
        return self.limits.reading(call.shard, self.now()) if call.operation == "GetRecords" else nullcontext()


def _shard(asked: Content) -> str:
    if "ShardIterator" in asked:
        try:
            return read_token(asked["ShardIterator"]).shard
        except OperationRefused:
            return ""
    return name_of(asked.get("ShardId", ""))


def _refusal(refusal: OperationRefused) -> Reply:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{refusal.code}", "message": refusal.message}
    return Reply(refusal.status, json.dumps(body).encode())
