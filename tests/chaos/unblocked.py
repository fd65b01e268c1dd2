"""Runs the program so that a call that blocks the event loop, even in a library, raises at the call site."""

import sys

from gco_stream.cli.main import main
from tests.support.blocking_calls import no_blocking

if __name__ == "__main__":
    sys.argv = ["gco-stream", "run"]
    with no_blocking():
        main()
