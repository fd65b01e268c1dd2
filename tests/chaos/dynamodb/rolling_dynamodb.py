"""DynamoDB Local as a process whose shards roll over, and whose past grows older, when a test says so.

A real stream's shards end after some four hours, its iterators expire after 15 minutes and its records after 24 hours.
DynamoDB Local has all of that, but neither a request nor an option sets it off: its scheduler never runs. So the
server is hosted in a JVM inside a Python process, which calls by reflection what the scheduler would call. It is told
to by lines on standard input, answers each with a line, and ends when that input does.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self, TextIO

from gco_stream.local.ports import Ports
from gco_stream.local.progress import Progress
from gco_stream.local.servers import dynamodb
from gco_stream.local.toolchain.build import binaries
from gco_stream.local.toolchain.cache import Cache, default_cache

ITERATORS_LIVE = 15 * 60
RECORDS_LIVE = 24 * 3600
_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_OPTIONS = ("-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class RollingDynamoDB:
    """A DynamoDB Local on 127.0.0.1. A context manager; all methods return when it is done."""

    def __init__(self) -> None:
        cache = Cache(default_cache(), Progress(quiet=True))
        parts = binaries(cache)
        self._ports = Ports(cache.root / "ports")
        self._arguments = (str(parts.java), str(parts.dynamodb))
        self.url = ""

    def __enter__(self) -> Self:
        port = self._ports.reserve()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *self._arguments, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"
        self.url = f"http://127.0.0.1:{port}"
        self.tables, self.streams = dynamodb.client(self.url), dynamodb.client(self.url, "dynamodbstreams")
        return self

    def __exit__(self, *_: object) -> None:
        self.tables.close()
        self.streams.close()
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()
        self._process.wait(timeout=30)
        self._ports.release()

    def roll(self) -> None:
        """Every open shard of every table ends now and has one child."""
        self._tell("roll")

    def age(self, seconds: float) -> None:
        """Everything that was made or written so far is older by so much, and so is every iterator."""
        self._tell(f"age {seconds * 1000:.0f}")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert (answer := self._answer()) == "done", answer

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main(java: str, jars: str, port: str, orders: TextIO, answers: TextIO) -> None:
    """Serves on `port`, with the runtime that the program `java` belongs to, until `orders` end."""
    import jpype  # noqa: PLC0415 - only this process has a JVM

    (library,) = Path(java).resolve().parents[1].glob("lib/server/libjvm.*")
    jpype.startJVM(str(library), *_OPTIONS, classpath=[f"{jars}/*"])
    runner = jpype.JClass(_MAIN)
    server = runner.createServerFromCommandLineArgs(["-inMemory", "-sharedDb", "-disableTelemetry", "-port", port])
    server.start()
    print("ready", file=answers, flush=True)
    for line in orders:
        order, *amount = line.split()
        client = _client(server)
        if order == "roll":
            client.triggerShardRollovers()
        else:
            client.dilateEventTimes(jpype.JLong(int(amount[0])))
        print("done", file=answers, flush=True)


def _client(server: Any) -> Any:
    """The client of the one database, which the server makes with the first request."""
    handlers = _field(_field(_field(server, "serverHandler"), "primaryHandler"), "dbRequestHandlers")
    (handler,) = handlers.values()
    values = (_field(handler, name) for name in _fields(handler))
    return next(value for value in values if hasattr(value, "triggerShardRollovers"))


def _fields(owner: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kind = owner.getClass()
    while kind is not None:
        found = {str(field.getName()): field for field in kind.getDeclaredFields()} | found
        kind = kind.getSuperclass()
    return found


def _field(owner: Any, name: str) -> Any:
    field = _fields(owner)[name]
    field.setAccessible(True)
    return field.get(owner)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as answers:
        # DynamoDB Local has things of its own to say on standard output.
        os.dup2(2, 1)
        main(*sys.argv[1:4], sys.stdin, answers)
    # The server's threads would keep the process for ever.
    os._exit(0)
