"""`python -m tests.integration.chart.pod FOLDER ARGUMENTS`: gco-stream as in the chart's pod, as far as a process goes.

Its service account's files are in FOLDER, and it may write no file: as on a read-only root, whoever tries gets EROFS.
Each try is told on stderr too, since a program may hide what it was refused.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Any

from gco_stream.cli.main import main
from gco_stream.cluster.api.config import load_config

WRITES = "tried to write"
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def read_only(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _CHANGES and not (event == "open" and _writes(*arguments)):
        return
    os.write(2, f"{WRITES}: {event} {arguments[0]}\n".encode())
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))


def _writes(path: Any, _: Any, flags: int) -> bool:
    # A number is a file that is open already; devices are no part of the root.
    return not isinstance(path, int) and bool(flags & _WRITING) and not str(path).startswith("/dev/")


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    (load_config.__kwdefaults__ or {})["service_account"] = Path(folder)
    # An image is compiled when it is made.
    sys.dont_write_bytecode = True
    sys.addaudithook(read_only)
    main(arguments)
