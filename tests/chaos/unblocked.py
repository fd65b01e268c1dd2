"""The program, in whose process a call that blocks the loop raises where it stands, be it ours or a library's."""

import sys

from gco_stream.cli.main import main
from tests.support.blocking_calls import no_blocking

if __name__ == "__main__":
    sys.argv = ["gco-stream", "run"]
    with no_blocking():
        main()
