"""Tests of the lookup of the browser."""

from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from tools.browser import chromium as ladder


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_environment_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ladder.VARIABLE, str(program(tmp_path / "mine")))
    assert ladder.chromium().command == tmp_path / "mine"


def test_path_is_searched_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ladder.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = program(tmp_path / "google-chrome")
    assert ladder.chromium().command == found


def test_an_invalid_path_in_the_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ladder.VARIABLE, "/nowhere/chrome")
    with pytest.raises(BuildError, match=r"^GCO_STREAM_CHROMIUM: invalid value /nowhere/chrome: must be the path of"):
        ladder.chromium()
