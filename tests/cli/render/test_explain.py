"""Tests of the format of explanations."""

import inspect
import re
from collections.abc import Iterable

from gco_stream.cli.commands.explain import explain as command
from gco_stream.cli.render.explain import as_json, in_full, in_short, orphan_lines
from gco_stream.model.objects import Observed
from gco_stream.planning.explain.object_status import ObjectState
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.types.policy import FleetState
from tests.planning.support.explanations import DEPLOYMENT, changed, explained
from tests.support.items import endpoint
from tests.support.simulated_cluster import POLICY, SimulatedCluster, running


def plain(lines: Iterable[str]) -> list[str]:
    return [re.sub(r"\x1b\[\d+m", "", line) for line in lines]


def test_only_the_summary_line_is_not_indented() -> None:
    cluster, item = running()
    lines = plain(in_full(explained(cluster, item), cluster.now))
    assert lines[0] == "chat: running here, as desired"
    assert all(line.startswith("  ") or not line for line in lines[1:])


def test_statuses_and_details_are_aligned() -> None:
    cluster, item = running()
    changed(cluster, DEPLOYMENT, replicas=3)
    lines = plain(in_full(explained(cluster, item), cluster.now))
    columns = {line.index(status) for line in lines[1:] for status in ("would change", "in sync") if status in line}
    [detail] = [line for line in lines[1:] if "spec.replicas" in line]
    assert columns == {detail.index("spec.replicas")}


def test_a_long_message_is_not_repeated() -> None:
    cluster, _ = running()
    lines = plain(in_full(explained(cluster, endpoint(spec={"port": "?"})), cluster.now))
    found = [line for line in lines if "spec.port: invalid value '?'" in line]
    assert len(found) == 2, "the summary line, and the error of the item"
    assert "  Deployment  chat            held: see above" in lines


def test_the_short_form_shows_only_objects_that_change() -> None:
    cluster, item = running()
    assert plain(in_short(explained(cluster, item)))[0] == "chat: running here, as desired"
    changed(cluster, DEPLOYMENT, replicas=3)
    lines = plain(in_short(explained(cluster, item)))
    assert "  Deployment  chat  would change" in lines
    assert not any("in sync" in line for line in lines)


def test_every_key_of_the_json_is_documented() -> None:
    cluster, item = running()
    shown = as_json(explained(cluster, item))
    documented = set(re.findall(r"`(\w+)`", inspect.getdoc(command) or ""))
    keys = {*shown, *shown["objects"][0], *shown["regions"]["us-east-1"]}
    assert keys - {"kind", "namespace", "name"} <= documented
    of_the_plan = {"in_sync", "steps", "report", "write_report", "table_change", "requeue_after_seconds"}
    assert of_the_plan | {"notes", "warnings"} <= shown.keys()


def test_every_status_of_the_json_is_documented() -> None:
    documented = inspect.getdoc(command) or ""
    assert [status for status in ObjectState if status.value not in documented] == []


def test_the_json_has_reasons_and_the_steps_that_a_hold_prevents() -> None:
    cluster, item = running()
    shown = as_json(explained(cluster, item))
    assert (shown["reason"], shown["withheld"], shown["regions"]["us-east-1"]["reason"]) == (None, [], None)
    held = endpoint(
        desired_state="stopped",
        hold="maintenance",
        region_status={"us-east-1": {"state": "error", "error": "denied", "reason": "Rejected"}},
    )
    shown = as_json(explained(cluster, held))
    assert (shown["in_desired_state"], shown["reason"]) == (False, "Held")
    assert shown["withheld"]
    assert shown["steps"] == []
    assert {one["reason"] for one in shown["objects"] if one["status_if_not_held"]} == {"Held"}
    assert shown["regions"]["us-east-1"]["reason"] == "Rejected"


def test_a_warning_in_the_json_has_a_reason_and_a_message() -> None:
    cluster, item = running({"autoscaling": {"enabled": True, "metrics": [{"type": "custom", "target": 5}]}})
    (warning, *_) = as_json(explained(cluster, item))["warnings"]
    assert warning["reason"] == "UnknownMetric"
    assert "custom" in warning["message"]
    assert warning.keys() == {"reason", "message"}


def test_a_name_without_an_item_is_shown_with_its_steps() -> None:
    cluster, _ = running()
    plan = plan_orphan("chat", Observed(dict(cluster.objects)), FleetState(), POLICY)
    lines = plain(orphan_lines("chat", plan))
    assert lines[0] == "chat: the table has no such item, but its objects exist here"
    assert len([line for line in lines if line.startswith("  would delete ")]) == len(cluster.objects)
    nothing = plan_orphan("chat", Observed(SimulatedCluster().objects), FleetState(), POLICY)
    assert len(plain(orphan_lines("chat", nothing))) == 1
