"""Nothing that is rendered or reported depends on the order of a set, which differs between processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.planning.hostile.rendered_items import SETS
from tests.support.items import item, read

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_every_process_renders_and_reports_an_item_alike() -> None:
    first, second = (_rendered(seed) for seed in ("1", "2"))
    assert len(first) > 100
    assert {name for name in first if first[name] != second[name]} == set()


@pytest.mark.parametrize("field", ["args", "command", "tolerations"])
def test_a_set_in_an_ordered_field_is_an_error(field: str) -> None:
    found: Any = read(item(spec={field: {"b", "a"}}))
    assert found.spec is None
    assert [str(problem) for problem in found.spec_problems] == [f"spec.{field}: a set has no order; write a list"]


def test_metrics_given_as_a_set_are_an_error() -> None:
    found: Any = read(item(spec={"autoscaling": {"enabled": True, "metrics": {"cpu"}}}))
    assert str(found.spec_problems[0]) == "spec.autoscaling.metrics: a set has no order; write a list"


def _rendered(seed: str) -> dict[str, Any]:
    environ = {**os.environ, "PYTHONHASHSEED": seed}
    module = "tests.planning.hostile.rendered_items"
    done = subprocess.run([sys.executable, "-m", module], cwd=ROOT, env=environ, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert SETS
    return found
