"""Commands that run in a process of their own."""

import os
import subprocess

from tests.integration.support.harness.program import PATIENCE
from tests.support.processes.forked_process import run_forked


def gco_stream(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_forked(("gco_stream", *arguments), {"PATH": os.environ["PATH"], **environment}, PATIENCE)
