"""`python -m tests.integration.chart.pod FOLDER ARGUMENTS`: runs gco-stream as in the chart's pod.

FOLDER holds the files of the service account. Writing to files fails with EROFS, as on a read-only root file system.
Each attempt is also logged to stderr, because a program may hide the error.
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
    # A number is an open file descriptor; devices are not part of the root file system.
    return not isinstance(path, int) and bool(flags & _WRITING) and not str(path).startswith("/dev/")


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    (load_config.__kwdefaults__ or {})["service_account"] = Path(folder)
    # Images contain compiled bytecode, so a pod never writes it.
    sys.dont_write_bytecode = True
    sys.addaudithook(read_only)
    main(arguments)
