import json
import re
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from gco_stream.local.progress import Counted, Progress, format_duration
from gco_stream.local.toolchain.cache import Cache, digest

PATIENCE = 100.0


def filling(text: str = "made") -> tuple[list[Path], Callable[[Path], None]]:
    calls: list[Path] = []

    def fill(staging: Path) -> None:
        calls.append(staging)
        (staging / "file").write_text(text)

    return calls, fill


@pytest.fixture
def said() -> StringIO:
    return StringIO()


@pytest.fixture
def cache(tmp_path: Path, said: StringIO) -> Cache:
    return Cache(tmp_path, Progress(said))


def test_an_entry_is_built_once_per_key(cache: Cache) -> None:
    calls, fill = filling()
    first = cache.entry("kwok", "k1", "Building kwok", fill)
    assert cache.entry("kwok", "k1", "Building kwok", fill) == first
    assert (first / "file").read_text() == "made"
    assert len(calls) == 1


def test_a_different_key_gets_its_own_entry(cache: Cache) -> None:
    calls, fill = filling()
    assert cache.entry("kwok", "k1", "t", fill) != cache.entry("kwok", "k2", "t", fill)
    assert len(calls) == 2


def test_a_failed_build_leaves_no_entry_and_is_retried(cache: Cache, tmp_path: Path) -> None:
    def fail(staging: Path) -> None:
        (staging / "half").touch()
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        cache.entry("kwok", "k1", "t", fail)
    assert not list(tmp_path.glob("*kwok*/"))
    _, fill = filling()
    assert sorted(path.name for path in cache.entry("kwok", "k1", "t", fill).iterdir()) == ["file"]


def test_leftovers_of_a_killed_build_are_removed_first(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / ".kwok-k1").mkdir()
    (tmp_path / ".kwok-k1" / "half").touch()
    _, fill = filling()
    assert sorted(path.name for path in cache.entry("kwok", "k1", "t", fill).iterdir()) == ["file"]


def test_of_two_concurrent_builds_the_second_reports_that_it_waits(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    calls: list[int] = []
    outputs = StringIO(), StringIO()

    def fill(staging: Path) -> None:
        calls.append(1)
        (staging / "file").touch()
        inside.set()
        assert go_on.wait(PATIENCE)

    def build(output: StringIO) -> None:
        Cache(tmp_path, Progress(output)).entry("kwok", "k1", "Building kwok", fill)

    first = threading.Thread(target=build, args=(outputs[0],))
    first.start()
    assert inside.wait(PATIENCE)
    second = threading.Thread(target=build, args=(outputs[1],))
    second.start()
    while "waiting for another process" not in outputs[1].getvalue():
        assert second.is_alive()
    go_on.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert calls == [1]


def test_progress_shows_the_first_build_and_later_how_long_it_took(cache: Cache, said: StringIO) -> None:
    _, fill = filling()
    cache.entry("kwok", "k1", "Building kwok", fill)
    assert said.getvalue().startswith("Building kwok (first time on this machine)\n")
    took = json.loads((cache.root / "durations.json").read_text())["kwok"]
    cache.entry("kwok", "k2", "Building kwok", fill)
    assert f"Building kwok (took {format_duration(took)} last time)\n" in said.getvalue()


def test_a_corrupt_durations_file_is_ignored(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "durations.json").write_text("{")
    _, fill = filling()
    assert cache.entry("kwok", "k1", "t", fill).is_dir()


def test_a_digest_depends_on_every_input_and_its_boundaries() -> None:
    names = {digest(), digest("ab"), digest("a", "b"), digest("b", "a"), digest("a", "b", "")}
    assert len(names) == 5
    assert digest("a", b"b") == digest("a", "b")


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (232, "3 min 52 s")])
def test_durations_are_formatted_for_people(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_counted_step_shows_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gco_stream.local.progress.time.monotonic", lambda: now[0])
    counted = Counted(began=100.0, unit="packages", done=10, total=40)
    assert str(counted) == "10 of 40 packages"
    now[0] = 160.0
    assert str(counted) == "10 of 40 packages, about 3 min 0 s left"
    counted.done = 40
    assert str(counted) == "40 of 40 packages"


def test_a_count_is_shown_on_a_terminal_and_ends_with_its_step() -> None:
    output = Terminal()
    progress = Progress(output)
    with progress.step("building"):
        progress.count("packages", 3, 9)
    with progress.step("linking"):
        pass
    assert re.search(r"building: 3 of 9 packages", output.getvalue())
    assert not re.search(r"linking: \d of", output.getvalue())


def test_steps_can_be_nested_on_a_terminal() -> None:
    output = Terminal()
    progress = Progress(output)
    with progress.step("outer"), progress.step("inner"):
        pass
    text = output.getvalue()
    assert re.findall(r"(inner|outer): done in \d+ s", text) == ["inner", "outer"]
