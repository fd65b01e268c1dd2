from dataclasses import replace

from tests.chaos.run.judges.recorded import DEPLOYMENT, event
from tests.chaos.run.records.metronome import Beat, dated

BEATS = (Beat(10, 1.0), Beat(20, 2.0), Beat(30, 3.0))


def at(version: int, seen: float, *, guessed: bool = False) -> float:
    one = event(DEPLOYMENT, seen)
    one = replace(one, obj={**one.obj, "version": str(version)}, guessed=guessed)
    return dated((one,), BEATS)[0].at


def test_a_late_event_gets_the_time_of_the_next_beat() -> None:
    assert at(15, 9.0) == 2.0
    assert at(10, 9.0) == 2.0
    assert at(5, 9.0) == 1.0


def test_an_event_that_is_not_late_keeps_its_time() -> None:
    assert at(15, 1.5) == 1.5
    assert at(30, 9.0) == 9.0
    assert at(15, 9.0, guessed=True) == 9.0


def test_an_earlier_response_to_a_later_write_counts() -> None:
    late = replace(event(DEPLOYMENT, 9.0), obj={"version": "15"})
    assert dated((late,), (Beat(20, 8.0), Beat(30, 4.0)))[0].at == 4.0
