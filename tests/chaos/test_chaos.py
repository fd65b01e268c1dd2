"""Half a minute of the chaos run; `python -m tests.chaos.run` is the whole of it.

The same faults and writes each time, so that a verdict is about the code. GCO_STREAM_SEED=random, or a number,
tries others.
"""

from pathlib import Path

from tests.chaos.run.actors.faults import KINDS
from tests.chaos.run.chaos import Plan, run
from tests.chaos.run.report import summary, table


def test_whatever_happens_the_cluster_ends_as_the_table_asks_and_nothing_was_done_that_nobody_asked_for(
    tmp_path: Path, seed: int
) -> None:
    plan = Plan(
        seed=seed,
        seconds=30.0,
        endpoints=30,
        replicas=3,
        pace=2.0,
        patience=180.0,
        rest=5.0,
        folder=tmp_path,
        lease=6,
        # What makes clocks step ends a process now and then (status 14, no word); tests of leadership have it alone.
        kinds=KINDS - {"clock step"},
    )
    result = run(plan, print)
    print(table(result))
    assert result.verdict.ok, summary(result, seed, tmp_path)
