"""The costs in docs/aws.md follow from its inputs, and its rates match the settings."""

import re
from pathlib import Path

from gco_stream.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "aws.md").read_text()
SECTION = PAGE.partition("## What it costs")[2]
Rows = list[list[str]]
TABLES: list[Rows] = [
    [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
    for block in re.findall(r"(?:^\|.*\n)+", SECTION, re.MULTILINE)
]


def number(text: str) -> float:
    return float(text.replace("$", "").replace(",", ""))


WRITE, READ, STREAM, FREE, HOURS, SIZE, CHANGES, STATUSES = (number(value) for _, value in TABLES[0])
_, (_, OLD_WRITES, NEW_WRITES), (_, OLD_SCANS, NEW_SCANS), (_, _, POLLS) = (
    (name, *(number(cell) for cell in cells)) for name, *cells in TABLES[1]
)
DAYS = HOURS / 24


def bill(endpoints: float, shards: float) -> list[float]:
    """The columns of a row, in dollars per month. Totals are sums of the rounded values."""
    writes = endpoints * OLD_WRITES * HOURS * SIZE * WRITE / 1e6
    scans = endpoints * SIZE / 4 / 2 * OLD_SCANS * HOURS * READ / 1e6
    stream = max(0, shards * POLLS * HOURS - FREE) * STREAM / 1e5
    own_scans = endpoints * SIZE / 4 * NEW_SCANS * HOURS * READ / 1e6
    changes = endpoints * CHANGES * DAYS * (STATUSES * SIZE * WRITE + READ) / 1e6
    old = [round(writes, 2), round(scans, 2)]
    new = [round(stream, 2), round(own_scans, 2), round(changes, 2)]
    return [*old, round(sum(old), 2), *new, round(sum(new), 2)]


def test_every_cost_follows_from_the_inputs_on_the_page() -> None:
    bills = TABLES[2]
    assert len(bills) == 6
    for endpoints, shards, *columns in bills:
        expected = [f"${value:,.2f}" for value in bill(number(endpoints), number(shards))]
        assert columns == expected, f"| {endpoints} | {shards} | {' | '.join(expected)} |"


def test_the_rates_match_the_settings() -> None:
    settings = Settings(region="us-east-1")
    assert 3600 / settings.stream_poll_interval_seconds == POLLS
    assert 3600 / settings.resync_interval_seconds == NEW_SCANS
    assert 3600 / settings.reconcile_interval_seconds == OLD_SCANS
    assert NEW_WRITES == settings.status_heartbeat_seconds == 0
