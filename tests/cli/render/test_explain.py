"""How explanations are shown."""

import inspect
import re
from collections.abc import Iterable

from gco_stream.cli.commands.explain import explain as command
from gco_stream.cli.render.explain import as_json, in_full, in_short, orphan_lines
from gco_stream.model.objects import Observed
from gco_stream.planning.explain.object_status import ObjectState
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.types.policy import FleetState
from tests.planning.explain.test_explanation import DEPLOYMENT, changed, explained
from tests.support.items import endpoint
from tests.support.simulated_cluster import POLICY, SimulatedCluster, running


def plain(lines: Iterable[str]) -> list[str]:
    return [re.sub(r"\x1b\[\d+m", "", line) for line in lines]


def test_the_first_line_is_the_verdict_and_no_other_starts_at_the_margin() -> None:
    cluster, asked = running()
    lines = plain(in_full(explained(cluster, asked), cluster.now))
    assert lines[0] == "chat: running here, as desired"
    assert all(line.startswith("  ") or not line for line in lines[1:])


def test_verdicts_stand_below_each_other_and_details_below_the_verdict() -> None:
    cluster, asked = running()
    changed(cluster, DEPLOYMENT, replicas=3)
    lines = plain(in_full(explained(cluster, asked), cluster.now))
    columns = {line.index(verdict) for line in lines[1:] for verdict in ("would change", "in sync") if verdict in line}
    [detail] = [line for line in lines[1:] if "spec.replicas" in line]
    assert columns == {detail.index("spec.replicas")}


def test_a_long_reason_is_told_once() -> None:
    cluster, _ = running()
    lines = plain(in_full(explained(cluster, endpoint(spec={"port": "?"})), cluster.now))
    told = [line for line in lines if "spec.port: '?' is not allowed" in line]
    assert len(told) == 2, "the first line, and the item's error"
    assert "  Deployment  chat            held: for the reason above" in lines


def test_in_short_only_what_is_done_is_shown() -> None:
    cluster, asked = running()
    assert plain(in_short(explained(cluster, asked)))[0] == "chat: running here, as desired"
    changed(cluster, DEPLOYMENT, replicas=3)
    lines = plain(in_short(explained(cluster, asked)))
    assert "  Deployment  chat  would change" in lines
    assert not any("in sync" in line for line in lines)


def test_every_key_of_the_json_is_documented() -> None:
    cluster, asked = running()
    shown = as_json(explained(cluster, asked))
    documented = set(re.findall(r"`(\w+)`", inspect.getdoc(command) or ""))
    keys = {*shown, *shown["objects"][0], *shown["regions"]["us-east-1"]}
    assert keys - {"kind", "namespace", "name"} <= documented
    of_the_plan = {"in_sync", "steps", "report", "write_report", "table_change", "requeue_after_seconds"}
    assert of_the_plan | {"notes", "warnings"} <= shown.keys()


def test_every_verdict_of_the_json_is_documented() -> None:
    documented = inspect.getdoc(command) or ""
    assert [verdict for verdict in ObjectState if verdict.value not in documented] == []


def test_the_json_has_the_reason_of_an_endpoint_of_its_regions_and_of_what_a_hold_prevents() -> None:
    cluster, asked = running()
    shown = as_json(explained(cluster, asked))
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
    assert {one["reason"] for one in shown["objects"] if one["state_without_hold"]} == {"Held"}
    assert shown["regions"]["us-east-1"]["reason"] == "Rejected"


def test_a_warning_in_the_json_has_a_reason_and_a_message() -> None:
    cluster, asked = running({"autoscaling": {"enabled": True, "metrics": [{"type": "custom", "target": 5}]}})
    (warning, *_) = as_json(explained(cluster, asked))["warnings"]
    assert warning["reason"] == "UnknownMetric"
    assert "custom" in warning["message"]
    assert warning.keys() == {"reason", "message"}


def test_a_name_without_an_item_is_told_with_what_would_go() -> None:
    cluster, _ = running()
    plan = plan_orphan("chat", Observed(dict(cluster.objects)), FleetState(), cluster.now, POLICY)
    lines = plain(orphan_lines("chat", plan))
    assert lines[0] == "chat: the table has no such item, but objects of it stand here"
    assert len([line for line in lines if line.startswith("  would delete ")]) == len(cluster.objects)
    nothing = plan_orphan("chat", Observed(SimulatedCluster().objects), FleetState(), cluster.now, POLICY)
    assert len(plain(orphan_lines("chat", nothing))) == 1
