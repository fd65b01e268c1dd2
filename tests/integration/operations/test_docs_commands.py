"""Runs the documentation's commands in order in one shell, on a control plane of their own, and checks the output."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, SESSION, Block, blocks

START, *OTHERS = [[block for block in blocks(ROOT / "docs" / name) if block.runs] for name in SESSION]
PATIENCE = 480
# A reader pauses before this command; the script waits until no change is in progress.
PAUSE_BEFORE = "gco-stream endpoint list"
PAUSE = (
    "until gco-stream explain chat >said && grep -q '^chat: running here, as desired$' said"
    " && grep -q '^  desired  *running$' said; do sleep 0.2; done"
)


def masked(line: str) -> str:
    """Masks what differs between runs: numbers, IDs, column widths and bars."""
    line = re.sub(r"\b(\d+[dhms])+\b", "0s", line)
    line = re.sub(r"\b[0-9a-f]{8,}\b|\d+", "0", line)
    return re.sub(r"[\s─━|-]+", " ", line).strip()


def script(ordered: list[Block]) -> str:
    """Returns one script of all blocks, which prints a marker before each one."""
    marked = (f"echo '@@@ {block.page.name}:{block.line}'\n{paused(block.script())}" for block in ordered)
    return "set -eo pipefail\n" + "\n".join(marked)


def paused(commands: str) -> str:
    return commands.replace(PAUSE_BEFORE, f"{PAUSE}\n{PAUSE_BEFORE}")


@pytest.fixture(scope="module")
def shell_env(
    tmp_path_factory: pytest.TempPathFactory, kubectl_binary: Path, helm_binary: Path
) -> Iterator[tuple[dict[str, str], Path]]:
    """The environment and folder of a new user's shell; leftover processes are stopped afterwards."""
    home = tmp_path_factory.mktemp("reader")
    here = home / "checkout"
    here.mkdir()
    for name in ("examples", "tools", "helm", "deploy", "docs", "gco_stream", "README.md"):
        if (ROOT / name).exists():
            (here / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}:{kubectl_binary.parent}:{helm_binary.parent}:{os.environ['PATH']}"
    environment = {
        "HOME": os.environ["HOME"],
        "PATH": path,
        "XDG_STATE_HOME": str(home),
        "HTTP_PORT": "0",
        "COLUMNS": "120",
    }
    yield environment, here
    subprocess.run(["gco-stream", "local", "down"], env=environment, capture_output=True, check=False)


def test_the_commands_in_the_docs_work_and_print_the_documented_output(
    shell_env: tuple[dict[str, str], Path],
) -> None:
    environment, here = shell_env
    *first, last = START
    # The last block of start.md removes everything.
    assert "local down" in last.text
    ordered = [*first, *(block for page in OTHERS for block in page), last]
    file = here / "commands.sh"
    file.write_text(script(ordered))
    done = subprocess.run(
        ["bash", file],
        cwd=here,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    printed = dict(part.split("\n", 1) for part in done.stdout.split("@@@ ")[1:])
    for block in ordered:
        place = f"{block.page.name}:{block.line}"
        seen = {masked(line) for line in printed[place].splitlines()}
        missing = [line for line in block.output.splitlines() if masked(line) and masked(line) not in seen]
        assert missing == [], f"{place}: lines missing from the output:\n{printed[place]}"
