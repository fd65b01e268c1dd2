"""The dependency audit never reports unchecked pins as safe."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECK = Path(__file__).parents[1] / "tools" / "audit" / "check.py"
SAFE, VULNERABLE, UNCHECKED = 0, 1, 3
WELL = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
SKIPPED = {"name": "pyyaml", "skip_reason": "Dependency not found on the index and could not be audited"}
ILL = {"name": "urllib3", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}]}


@pytest.fixture(scope="module")
def verdict() -> Callable[[Any], tuple[int, list[str]]]:
    found: Callable[[Any], tuple[int, list[str]]] = runpy.run_path(str(CHECK))["verdict"]
    return found


def test_checked_pins_without_vulnerabilities_pass(verdict: Callable[[Any], Any]) -> None:
    assert verdict({"dependencies": [WELL]}) == (SAFE, ["1 pins checked, none has a known vulnerability."])


@pytest.mark.parametrize(
    "report", [{}, {"dependencies": []}, {"dependencies": [SKIPPED]}, {"dependencies": [WELL, SKIPPED]}]
)
def test_an_unchecked_pin_is_not_reported_as_safe(report: Any, verdict: Callable[[Any], Any]) -> None:
    code, lines = verdict(report)
    assert code == UNCHECKED
    assert lines[0].startswith("NOT CHECKED: ")
    assert not any("none has" in line for line in lines)


def test_a_vulnerability_is_reported_with_its_fix_despite_unchecked_pins(verdict: Callable[[Any], Any]) -> None:
    code, lines = verdict({"dependencies": [WELL, ILL, SKIPPED]})
    assert code == VULNERABLE
    assert lines[0] == "urllib3 1.0: PYSEC-2026-1; fixed in 1.1"
    assert lines[1].startswith("NOT CHECKED: 1 of 3 pins: pyyaml")
