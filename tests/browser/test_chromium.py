"""Where the browser comes from."""

from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from tools.browser import chromium as ladder


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ladder.VARIABLE, str(program(tmp_path / "mine")))
    assert ladder.chromium().command == tmp_path / "mine"


def test_then_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ladder.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = program(tmp_path / "google-chrome")
    assert ladder.chromium().command == found


def test_a_variable_that_names_no_program_is_told_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ladder.VARIABLE, "/nowhere/chrome")
    with pytest.raises(BuildError, match=r"GCO_STREAM_CHROMIUM=/nowhere/chrome: .* allowed: the path of a Chromium"):
        ladder.chromium()
