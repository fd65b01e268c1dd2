"""Detects calls that block a shared event loop: files, locks, sleeps, sockets, DNS, processes.

A stalled loop renews no lease, reads no stream and answers no probe. Calls that may block are listed here, with the
reason.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster, BlockBusterFunction

# blockbuster detects reads and writes, but not the calls that precede them.
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
    # At startup, before anything else runs on the loop: reads certificates and the SDK's files.
    ("gco_stream/cluster/api/client.py", {"connect"}),
    ("gco_stream/aws/session.py", {"_client"}),
    # A pod's token is a small file in memory (a projected volume) that is read once a minute. A kubeconfig is used on
    # workstations and is reread when its plugin's token expires.
    ("gco_stream/cluster/api/config.py", {"load_config"}),
    # Called by commands whose user waits for the result, not on a shared loop.
    ("gco_stream/table/bootstrap.py", {"create", "describe", "enable_stream"}),
    # Reads source files to print the traceback of a bug to a terminal.
    ("structlog/dev.py", {"__call__"}),
)


@contextmanager
def no_blocking(scanned: str | None = None) -> Iterator[None]:
    """Raises BlockingError for every call that blocks a running event loop within the block.

    `scanned`: only if code of this package is on the stack. gco_stream.local, which simulates the cluster, and the test
    machinery may block: no shared loop depends on them.
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
