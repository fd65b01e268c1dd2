"""Runs DynamoDB Local as a process; tests decide when its shards roll over and its records and iterators age.

A real stream's shards end after about four hours, its iterators expire after 15 minutes and its records after 24 hours.
DynamoDB Local implements all of this, but no request or option triggers it: its scheduler never runs. So this module
hosts the server in a JVM inside a Python process, which calls by reflection what the scheduler would call. The process
reads commands as lines on standard input, answers each with a line, and exits when standard input is closed.
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
    """A DynamoDB Local on 127.0.0.1, as a context manager; every method returns when its effect is complete."""

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
        """Closes every open shard of every table; each gets one child."""
        self._tell("roll")

    def age(self, seconds: float) -> None:
        """Makes all existing tables, records and iterators older by this many seconds."""
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
    """Serves on `port`, with the runtime of the executable `java`, until `orders` is closed."""
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
    """Returns the client of the only database; the server creates it on the first request."""
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
        # DynamoDB Local itself writes to standard output.
        os.dup2(2, 1)
        main(*sys.argv[1:4], sys.stdin, answers)
    # The server's threads would keep the process alive.
    os._exit(0)
