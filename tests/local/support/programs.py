"""Programs that a test writes to disk, and the arguments that they were called with."""

import stat
from itertools import pairwise
from pathlib import Path


def program(path: Path, prints: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{prints}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def following(words: list[str], word: str) -> set[str]:
    return {after for before, after in pairwise(words) if before == word}
