"""Calls that block on an event loop that others share, as failures: files, locks, sleeps, sockets, DNS, processes.

A stalled loop renews no lease, reads no stream and answers no probe. What is allowed to block is named here, with why.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster, BlockBusterFunction

# blockbuster watches reads and writes, but not what comes before them.
_ALSO_BLOCKING = (
    "builtins.open",
    "io.open",
    "os.open",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen.__init__",
    "subprocess.Popen.wait",
)
_CERTIFICATES = ("load_cert_chain", "load_default_certs", "load_verify_locations")
_MAY_BLOCK = (
    # When a program starts, before anything else is on its loop: certificates and the SDK's own files are read.
    ("gco_stream/cluster/api/client.py", {"connect"}),
    ("gco_stream/aws/session.py", {"_client"}),
    # A pod's token is a small file in memory (a projected volume), read once a minute; a kubeconfig is for people's
    # machines, and read again when the token of its plugin ends.
    ("gco_stream/cluster/api/config.py", {"load_config", "ssl_context"}),
    # Made for people who wait for them, not for a loop.
    ("gco_stream/table/bootstrap.py", {"create", "describe", "enable_stream"}),
    # A fault of ours, told on a terminal with its source.
    ("structlog/dev.py", {"__call__"}),
)


@contextmanager
def no_blocking(scanned: str | None = None) -> Iterator[None]:
    """While entered, a call that blocks a running event loop raises BlockingError.

    `scanned`: only where code of this package is on the stack. What plays the cluster and tests' own machinery may
    block: they are nobody's loop.
    """
    watched = BlockBuster(scanned, excluded_modules=["gco_stream.local"])
    for name in _ALSO_BLOCKING:
        watched.functions[name] = BlockBusterFunction(
            None, name, scanned_modules=scanned, excluded_modules=["gco_stream.local"]
        )
    for name in _CERTIFICATES:
        watched.functions[f"ssl.{name}"] = BlockBusterFunction(
            ssl.SSLContext, name, scanned_modules=scanned, excluded_modules=["gco_stream.local"]
        )
    for function in watched.functions.values():
        for file, functions in _MAY_BLOCK:
            function.can_block_in(file, functions)
    watched.activate()
    try:
        yield
    finally:
        watched.deactivate()
