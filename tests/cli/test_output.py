"""Tests of the output of commands."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from rich.console import Console

from gco_stream.cli.commands.endpoint.get import endpoint_rows, facts, region_rows
from gco_stream.cli.output import Format, Rows, age, aligned, as_table, print_changes, say, show_items, show_rows
from tests.support.items import endpoint, item, read

NOW = datetime(2026, 11, 21, 9, 3, tzinfo=UTC)
SECRET = item(spec={"env": {"TOKEN": "s3cret"}, "ratio": Decimal("0.5")})


@pytest.mark.parametrize("form", [Format.JSON, Format.YAML, Format.NAME])
def test_the_values_of_env_are_redacted_by_default(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    show_items([SECRET], form, single=True, secrets=False)
    assert "s3cret" not in capsys.readouterr().out
    assert SECRET["spec"]["env"] == {"TOKEN": "s3cret"}


def test_json_and_yaml_round_trip(capsys: pytest.CaptureFixture[str]) -> None:
    expected: dict[str, Any] = {**SECRET, "spec": {**SECRET["spec"], "ratio": 0.5}}
    show_items([SECRET], Format.JSON, single=True, secrets=True)
    assert json.loads(capsys.readouterr().out) == expected
    show_items([SECRET, SECRET], Format.JSON, single=False, secrets=True)
    assert json.loads(capsys.readouterr().out) == [expected, expected]
    show_items([SECRET, SECRET], Format.YAML, single=False, secrets=True)
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == [expected, expected]


def test_values_of_dynamodb_types_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"endpoint_name": "a", "set": frozenset({"y", "x"}), "binary": b"\x00", "nothing": None}
    for form, load in ((Format.JSON, json.loads), (Format.YAML, yaml.safe_load)):
        show_items([odd], form, single=True, secrets=False)
        shown = {"endpoint_name": "a", "binary": "AA==", "nothing": None, "set": ["x", "y"]}
        assert load(capsys.readouterr().out) == shown


def test_tables_never_show_the_values_of_env() -> None:
    found = endpoint(spec={"env": {"TOKEN": "s3cret"}})
    shown = [*facts(found), *region_rows(found, NOW).rows, *endpoint_rows([found], NOW).rows]
    assert ("env", "TOKEN") in shown
    assert not any("s3cret" in cell for row in shown for cell in row)


def test_columns_are_aligned_and_a_cell_is_one_line() -> None:
    rows = Rows(("NAME", "NOTE"), [("a-long-name", "two\nlines"), ("b", "")])
    assert aligned(rows) == ["NAME         NOTE", "a-long-name  two lines", "b            -"]


def test_square_brackets_are_not_markup() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80)
    console.print(as_table(Rows(("NOTE",), [("[red]x[/red]",)])))
    assert "[red]x[/red]" in text.getvalue()


def test_a_row_has_the_desired_state_the_reports_and_the_error() -> None:
    status = {
        "eu-west-1": {"state": "error", "replicas_ready": 0, "replicas_desired": 2, "error": "quota"},
        "us-east-1": {"state": "running", "replicas_ready": 2, "replicas_desired": 2},
    }
    found = endpoint(region_status=status, target_regions=["us-east-1", "eu-west-1"])
    both = ("chat", "deploying", "2/4", "eu-west-1 error, us-east-1 running", "3m", "error: eu-west-1: quota")
    assert endpoint_rows([found], NOW).rows == [both]
    one = ("chat", "deploying", "2/2", "us-east-1 running", "3m", "")
    assert endpoint_rows([found], NOW, "us-east-1").rows == [one]


def test_an_invalid_item_is_listed_with_its_error() -> None:
    (row,) = endpoint_rows([read(item(target_regions=[], desired_state="lost"))], NOW).rows
    assert row[:2] == ("chat", "-")
    assert row[5].startswith("error: desired_state: invalid value 'lost'")


def test_a_region_that_has_not_reported_is_listed() -> None:
    found = endpoint(region_status={"old": {"state": "deleted", "last_sync": "2026-11-21T09:00:00+00:00"}})
    assert region_rows(found, NOW).rows == [
        ("old", "deleted", "0/0", "3m", "no longer a target"),
        ("us-east-1", "-", "-", "-", "has not reported"),
    ]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-21T09:02:20+00:00", "40s"),
        ("2026-11-21T09:02:20", "40s"),
        ("2026-11-21T09:01:01Z", "119s"),
        ("2026-11-21T09:01:00+00:00", "2m"),
        ("2026-11-21T06:00:00+00:00", "3h"),
        ("2026-11-01T09:00:00+00:00", "20d"),
        ("2026-11-21T10:00:00+00:00", "0s"),
        ("yesterday", "-"),
        ("", "-"),
    ],
)
def test_an_age_has_one_unit(moment: str, expected: str) -> None:
    assert age(moment, NOW) == expected


def test_items_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name, error = "chat\x1b[2J\nok: all is well", "\x1b]0;title\x07\u202egnp.exe"
    show_rows(Rows(("NAME", "ERROR"), [(name, error)]))
    say(f"\x1b[31m{name}\x1b[0m: {error}")
    shown = capsys.readouterr().out
    assert shown.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\n", "").isprintable()
    assert len(shown.splitlines()) == 3


def test_only_changed_rows_are_printed_after_the_first_update(capsys: pytest.CaptureFixture[str]) -> None:
    updates = iter([[("a", "1s", "up")], [("a", "2s", "up")], [("a", "3s", "down"), ("b", "1s", "up")], [], []])

    def look() -> Rows:
        return Rows(("NAME", "SINCE", "STATE"), next(updates))

    with pytest.raises(StopIteration):
        print_changes(look, 0, ignore="SINCE", gone="deleted")
    assert capsys.readouterr().out.splitlines() == [
        "NAME  SINCE  STATE",
        "a     1s     up",
        "a     3s     down",
        "b     1s     up",
        "a  deleted",
        "b  deleted",
    ]
