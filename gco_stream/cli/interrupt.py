"""Ctrl-C for commands that run until it is pressed."""

import signal


def enable_ctrl_c() -> None:
    """Makes SIGINT raise KeyboardInterrupt again if this process inherited it as ignored.

    A shell without job control starts background processes that way, and so do some CI runners.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
