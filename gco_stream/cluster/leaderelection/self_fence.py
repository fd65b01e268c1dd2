"""Self-fencing: the kernel ends the leader's process if its lease expires while it may still act.

The event loop's timers cannot end a leader that is stopped (SIGSTOP, a frozen container) or that blocks the loop. When
it resumes, it would send requests that have already passed every check, although another replica leads by then. The
kernel's timer keeps running meanwhile, and its signal arrives before a stopped process executes anything else.
"""

import ctypes
import signal
from collections.abc import Callable

# Takes the seconds after which the process ends; 0 disarms the timer.
SelfFence = Callable[[float], None]

# setitimer with 0 would disarm the timer.
_IMMEDIATELY = 1e-6


def self_fence() -> SelfFence:
    """Creates this process's fence, which uses SIGALRM. When it fires, the exit code is 14, the signal's number."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    # A Python handler runs some instructions later, which could still send a pending request, and the default action
    # does not end a container's PID 1. So the handler is libc's _exit, which is called with the signal's number.
    libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))

    def arm(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _IMMEDIATELY) if seconds else 0)

    return arm


def no_fence(seconds: float) -> None:
    """Fence that never fires, for processes that may outlive their lease."""
