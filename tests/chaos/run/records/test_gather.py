from tests.chaos.run.records.evidence import Action, Change
from tests.chaos.run.records.gather import dated_changes


def change(at: float, name: str, before: str, after: str) -> Change:
    return Change(at, name, {"updated_at": before}, {"updated_at": after})


def test_a_change_that_was_read_late_gets_the_time_of_its_write() -> None:
    report, write = change(9.0, "a", "0", "0"), change(9.5, "a", "0", "1")
    other, later_report = change(9.6, "b", "2", "2"), change(9.7, "a", "1", "1")
    actions = (Action(3.0, 3.1, "user", "new image", "a", mark="1"),)
    dated = dated_changes((report, write, other, later_report), actions)
    # The report after the write has the mark of the write, but may be much later.
    assert [one.at for one in dated] == [3.1, 3.1, 9.6, 9.7]
