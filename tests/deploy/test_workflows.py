"""The workflows are valid and pinned, and run only targets of the Makefile."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 parses the key `on` as true.
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {str(key) if key is not True else "on": value for key, value in found.items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def test_there_are_workflows_for_tests_and_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["release.yml", "test.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_has_a_runner_a_timeout_and_minimal_permissions(path: Path) -> None:
    workflow = read(path)
    assert workflow["on"]
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job), name
        assert set(job.get("permissions", {})) <= {"contents", "packages"}, name
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"])
        assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"]), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
    # All workflows use the same commit of an action.
    everywhere = {step["uses"] for other in WORKFLOWS for step in steps(other) if "uses" in step}
    assert len({action.partition("@")[0] for action in everywhere}) == len(everywhere)


def test_every_target_that_a_workflow_runs_is_in_the_makefile() -> None:
    made = {target for path in WORKFLOWS for target in re.findall(r"\bmake ([a-z-]+)", path.read_text())}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert "test" in made
    assert made <= targets


def test_scripts_contain_no_expressions() -> None:
    scripts = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    assert [script for script in scripts if "${{" in script] == []
