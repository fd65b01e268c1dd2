"""Self-fencing: a kernel timer ends the leader's process if its task has not ended shortly before the lease expires.

Timers of the event loop do not fire while the process is stopped (SIGSTOP, a frozen container) or the loop is blocked.
After it resumes, the process could send requests that have already passed every check, although another replica leads
by then. The kernel's timer keeps running meanwhile, and its signal is delivered before a resumed process executes
anything else.
"""

import ctypes
import signal
from collections.abc import Callable

# Takes the seconds after which the process ends; 0 disarms the timer.
SelfFence = Callable[[float], None]

# Shortest delay, in seconds; setitimer with 0 would disarm the timer.
_IMMEDIATELY = 1e-6


def self_fence() -> SelfFence:
    """Installs a SIGALRM handler and returns this process's fence.

    If the fence fires, the process exits with code 14, the number of the signal.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    # The handler is libc's _exit, which is called with the signal's number. A Python handler would run slightly later,
    # so a pending request could be sent first. The signal's default action does not end PID 1 of a container.
    libc.signal(signal.SIGALRM, ctypes.cast(libc._exit, ctypes.c_void_p))

    def arm(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _IMMEDIATELY) if seconds else 0)

    return arm


def no_fence(seconds: float) -> None:
    """Does nothing; used as the fence of processes that may outlive their lease."""
