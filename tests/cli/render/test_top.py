"""Tests of the screen of `top`."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from gco_stream.cli.render.fleet_rows import FleetRow
from gco_stream.cli.render.top import View, screen
from gco_stream.planning.lifecycle.health import HealthStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def drawn(view: View, *, width: int = 100, height: int = 20) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height)
    console.print(screen(view, width, height))
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def view(fleet: list[FleetRow], note: str = "") -> View:
    return View(fleet, fleet, NOW, pods=False, note=note)


def test_endpoints_that_do_not_fit_on_the_screen_are_counted() -> None:
    lines = drawn(view([FleetRow(f"e-{number}", HealthStatus.WAITING, "running") for number in range(10_000)]))
    assert lines[0] == "10000 endpoints: 0 ok, 10000 waiting, 0 in error, 0 held  12:00:00Z"
    assert len(lines) <= 20
    assert lines[-1] == "and 9986 more; filter with --state and --in-region"


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_each_endpoint_has_one_line(width: int) -> None:
    regions = {f"region-{number}": "running" for number in range(9)}
    fleet = [FleetRow("a" * 63, HealthStatus.ERROR, "deploying", message="no quota " * 50, regions=regions)] * 5
    lines = drawn(view(fleet), width=width)
    rows = [line.split() for line in lines if line.startswith(" aaa")]
    assert len(rows) == 5
    assert all(row[1:3] == ["error", "deploying"] for row in rows)
    assert sum("aaa…" in line for line in lines) == 5


def test_control_characters_are_escaped() -> None:
    message = "\x1b[2J[bold]red[/bold]\u202e"
    text = "\n".join(
        drawn(view([FleetRow("chat", HealthStatus.ERROR, "running", message=message)], note="error: \x1b[31m"))
    )
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text
