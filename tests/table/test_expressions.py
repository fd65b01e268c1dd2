"""Conditions and updates as DynamoDB expressions."""

from gco_stream.table.expressions import changes, unchanged_since


def test_a_condition_holds_only_for_the_item_as_read() -> None:
    seen = {"endpoint_name": {"S": "chat"}, "spec": {"M": {}}}
    condition, names, values = unchanged_since(seen, ["spec", "created_at"])
    assert condition == "attribute_exists(endpoint_name) AND #seen0 = :seen0 AND attribute_not_exists(#seen1)"
    assert names == {"#seen0": "spec", "#seen1": "created_at"}
    assert values == {":seen0": {"M": {}}}


def test_a_path_into_a_map_names_each_step_once() -> None:
    sets = {("spec", "replicas"): 3, ("spec", "canary", "replicas"): 1, ("updated_at",): "now"}
    update, names, values = changes(sets, [("region_status", "us-east-1"), ("hold",)])
    assert update == "SET #to0.#to1 = :to0, #to0.#to2.#to1 = :to1, #to3 = :to2 REMOVE #to4.#to5, #to6"
    assert list(names.values()) == ["spec", "replicas", "canary", "updated_at", "region_status", "us-east-1", "hold"]
    assert values == {":to0": {"N": "3"}, ":to1": {"N": "1"}, ":to2": {"S": "now"}}


def test_there_is_no_remove_clause_without_removals() -> None:
    assert changes({("hold",): "why"})[0] == "SET #to0 = :to0"
