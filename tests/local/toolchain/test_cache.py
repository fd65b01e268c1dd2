import json
import re
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from gco_stream.local.progress import Progress, format_duration
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


def test_an_entry_is_made_once_for_one_key(cache: Cache) -> None:
    calls, fill = filling()
    first = cache.entry("kwok", "k1", "Building kwok", fill)
    assert cache.entry("kwok", "k1", "Building kwok", fill) == first
    assert (first / "file").read_text() == "made"
    assert len(calls) == 1


def test_another_key_makes_another_entry(cache: Cache) -> None:
    calls, fill = filling()
    assert cache.entry("kwok", "k1", "t", fill) != cache.entry("kwok", "k2", "t", fill)
    assert len(calls) == 2


def test_what_failed_leaves_no_entry_and_is_tried_again(cache: Cache, tmp_path: Path) -> None:
    def fail(staging: Path) -> None:
        (staging / "half").touch()
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        cache.entry("kwok", "k1", "t", fail)
    assert not list(tmp_path.glob("*kwok*/"))
    _, fill = filling()
    assert sorted(path.name for path in cache.entry("kwok", "k1", "t", fill).iterdir()) == ["file"]


def test_the_leavings_of_a_builder_that_was_killed_are_removed_first(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / ".kwok-k1").mkdir()
    (tmp_path / ".kwok-k1" / "half").touch()
    _, fill = filling()
    assert sorted(path.name for path in cache.entry("kwok", "k1", "t", fill).iterdir()) == ["file"]


def test_two_at_once_make_it_once_and_the_second_says_that_it_waits(tmp_path: Path) -> None:
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
    while "another process is at it" not in outputs[1].getvalue():
        assert second.is_alive()
    go_on.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert calls == [1]


def test_it_says_that_it_is_the_first_time_and_later_how_long_it_took(cache: Cache, said: StringIO) -> None:
    _, fill = filling()
    cache.entry("kwok", "k1", "Building kwok", fill)
    assert said.getvalue().startswith("Building kwok (for the first time)\n")
    took = json.loads((cache.root / "durations.json").read_text())["kwok"]
    cache.entry("kwok", "k2", "Building kwok", fill)
    assert f"Building kwok (took {format_duration(took)} last time)\n" in said.getvalue()


def test_a_damaged_record_of_durations_is_no_obstacle(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "durations.json").write_text("{")
    _, fill = filling()
    assert cache.entry("kwok", "k1", "t", fill).is_dir()


def test_a_digest_depends_on_every_input_and_on_where_one_ends() -> None:
    names = {digest(), digest("ab"), digest("a", "b"), digest("b", "a"), digest("a", "b", "")}
    assert len(names) == 5
    assert digest("a", b"b") == digest("a", "b")


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (232, "3 min 52 s")])
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_steps_may_stand_inside_one_another() -> None:
    output = Terminal()
    progress = Progress(output)
    with progress.step("outer"), progress.step("inner"):
        pass
    text = output.getvalue()
    assert re.findall(r"(inner|outer): done in \d+ s", text) == ["inner", "outer"]
