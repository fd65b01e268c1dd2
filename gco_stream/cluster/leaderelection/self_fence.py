"""A dead man's switch: the kernel ends a leader's process whose lease runs out while it still acts.

The event loop's timers end a leader that goes on turning. One that is stopped (SIGSTOP, a frozen container) or hangs in
one turn goes on where it was: its requests have passed every check and are only still to be sent, and by then another
leads. The kernel's timer runs meanwhile, and its signal arrives before a stopped process does anything else.
"""

import ctypes
import signal
from collections.abc import Callable

# What it is given: the seconds after which the process ends, 0: it does not any more.
SelfFence = Callable[[float], None]

# setitimer's 0 puts the timer out.
_IMMEDIATELY = 1e-6


def self_fence() -> SelfFence:
    """The fuse of this process, for which SIGALRM is taken. Where it burns down, the exit code is that signal's, 14."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    # Python's handlers run some instructions later, which may send what is under way; the default action ends every
    # process but a container's first. So libc's _exit is the handler: it is called with the signal's number.
    libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))

    def set_fuse(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _IMMEDIATELY) if seconds else 0)

    return set_fuse


def no_fence(seconds: float) -> None:
    """For a process that shall outlive its lease in any case: nothing burns."""
