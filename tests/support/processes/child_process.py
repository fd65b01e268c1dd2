"""Processes that a test starts and that do not outlive it."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Runs the rest of its arguments with SIGINT ignored, as a shell without job control does for a background process.
IGNORING_SIGINT = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@contextmanager
def child_process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Runs a process with the options of subprocess.Popen, and kills it if it still runs when the block ends."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
