"""Where promtool comes from."""

from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import binaries as promtool
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache
from tests.local.support.programs import program


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Cache of a machine that has no promtool, with an installation that is not a checkout."""
    monkeypatch.delenv("GCO_STREAM_PROMTOOL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(toolchains, "inputs", lambda: tmp_path / "controlplane")
    return Cache(tmp_path / "cache", Progress(quiet=True))


def test_an_environment_variable_names_it(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCO_STREAM_PROMTOOL", str(program(tmp_path / "own", "")))
    assert promtool.promtool(cache) == tmp_path / "own"
    monkeypatch.setenv("GCO_STREAM_PROMTOOL", str(tmp_path / "none"))
    with pytest.raises(BuildError, match=r"^GCO_STREAM_PROMTOOL: invalid value .*: must be the path of promtool"):
        promtool.promtool(cache)


def test_a_binary_on_path_is_used_if_it_has_the_pinned_version(cache: Cache, tmp_path: Path) -> None:
    said = f"promtool, version {promtool.PROMTOOL_VERSION} (branch: HEAD)"
    found = program(tmp_path / "bin" / "promtool", said)
    assert promtool.promtool(cache) == found
    assert not cache.root.exists()
    program(found, said.replace(promtool.PROMTOOL_VERSION, "2.53.0"))
    with pytest.raises(BuildError, match="only in a checkout"):
        promtool.promtool(cache)
