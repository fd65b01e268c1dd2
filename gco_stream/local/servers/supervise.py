"""Runs a server that cannot outlive its parent: `python supervise.py PARENT_PID COMMAND...`.

The parent holds the other end of the pipe on standard input. When the pipe closes for any reason, the supervisor kills
the server's process group. It also polls the parent's process id, because a forked child may keep the pipe open after
the parent has died. On Linux, the kernel kills the server if the supervisor itself is killed.

There is one supervisor per server. To start fast, it runs as a file and imports only the standard library. It sends
only SIGKILL, because all data of these servers is disposable.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 2.0


def main(parent: int, command: list[str]) -> int:
    """Runs `command` until it or the parent exits. Returns its exit status, or 128 plus the signal that killed it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_parent_death_signal(),  # noqa: PLW1509 - this process has one thread
    )
    while server.poll() is None:
        ready, _, _ = select.select([0, woken], [], [], _PARENT_CHECK_SECONDS)
        if woken in ready:
            os.read(woken, 512)
        if 0 in ready or os.getppid() != parent:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _parent_death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return bind


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
