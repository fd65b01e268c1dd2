"""I5 (foreign objects are left alone), I6 (intent is never overwritten), I7 (a wrong table deletes nothing)."""

from typing import Final

from tests.mutants.mutant import Mutant

SAFETY: Final = (
    Mutant(
        name="another-installations-objects-are-ours",
        invariant="I5",
        file="gco_stream/planning/types/ownership.py",
        old="""    if observed.annotations.get(names.TABLE_ANNOTATION) not in {None, table_arn}:
        return False
    is_labelled""",
        new="    is_labelled",
        breaks="two installations in one cluster write and delete each other's objects",
        tests=("tests/planning/types/test_ownership.py::test_an_object_of_another_installation_is_foreign",),
    ),
    Mutant(
        name="another-endpoints-objects-are-ours",
        invariant="I5",
        file="gco_stream/planning/types/ownership.py",
        old="if observed.endpoint not in {None, endpoint}:",
        new="if False:",
        breaks="`a` with a canary and `a-canary` write to each other's Deployment",
        tests=(
            "tests/planning/types/test_ownership.py"
            "::test_a_canary_keeps_its_name_if_an_endpoint_of_that_name_is_created_later",
        ),
    ),
    Mutant(
        name="the-name-alone-makes-an-object-ours",
        invariant="I5",
        file="gco_stream/planning/types/ownership.py",
        old="    is_labelled = all(observed.labels",
        new="    is_labelled = any(observed.labels",
        breaks="a foreign object with one label in common is overwritten",
        tests=(
            "tests/planning/types/test_ownership.py::test_a_deployment_is_adopted_only_with_gcos_labels_field_manager_and_container",
        ),
    ),
    Mutant(
        name="whoever-has-the-labels-is-adopted",
        invariant="I5",
        file="gco_stream/planning/types/ownership.py",
        old="    return is_labelled and _is_from_gco(observed)\n",
        new="    return is_labelled\n",
        breaks="a Deployment that another tool installed gets a second container on the same port",
        tests=("tests/planning/types/test_ownership.py::test_an_object_with_copied_labels_is_never_touched",),
    ),
    Mutant(
        name="a-clone-is-an-orphan",
        invariant="I5",
        file="gco_stream/planning/lifecycle/orphaned.py",
        old="        and (obj.ownership.applied or obj.ownership.stamped)\n    )",
        new="    )",
        breaks="an object created as a copy of ours is deleted",
        tests=(
            "tests/planning/lifecycle/test_orphaned.py::test_an_object_that_is_not_certainly_ours_is_named_and_left_unchanged",
        ),
    ),
    Mutant(
        name="another-tables-objects-are-orphans",
        invariant="I5",
        file="gco_stream/planning/lifecycle/orphaned.py",
        old="        and obj.annotations.get(names.TABLE_ANNOTATION) == policy.table_arn\n",
        new="",
        breaks="a second installation's endpoints, unknown to our table, are deleted",
        tests=(
            "tests/planning/lifecycle/test_orphaned.py::test_an_object_that_is_not_certainly_ours_is_named_and_left_unchanged",
        ),
    ),
    Mutant(
        name="any-namespace-is-planned-in",
        invariant="I5",
        file="gco_stream/planning/planner.py",
        old="    if context.namespace not in allowed:\n",
        new="    if False:\n",
        breaks="an item names kube-system, and objects are created there",
        tests=("tests/planning/lifecycle/test_refusal.py::test_a_namespace_that_is_not_allowed_is_refused",),
    ),
    Mutant(
        name="any-namespace-is-written-to",
        invariant="I5",
        file="gco_stream/cluster/writer.py",
        old="        if ref.namespace not in self._cache.namespaces:\n",
        new="        if False:\n",
        breaks="the last safeguard against a namespace that is not allowed is missing",
        tests=("tests/cluster/test_writer.py::test_a_namespace_that_is_not_allowed_is_never_written_to",),
    ),
    Mutant(
        name="a-deletion-names-no-uid",
        invariant="I5",
        file="gco_stream/cluster/writer.py",
        old='preconditions = {"uid": uid, **(',
        new="preconditions = {**(",
        breaks="a foreign object that has taken the name in the meantime is deleted",
        tests=(
            "tests/integration/cluster/writer/test_successor.py"
            "::test_the_deletion_of_a_predecessor_does_not_begin_to_delete_the_successor",
        ),
    ),
    Mutant(
        name="a-patch-names-no-uid",
        invariant="I5",
        file="gco_stream/cluster/writer.py",
        old='patch = {"metadata": {"uid": uid, "annotations": dict(annotations)}}',
        new='patch = {"metadata": {"annotations": dict(annotations)}}',
        breaks="a foreign object that has taken the name in the meantime is adopted",
        tests=(
            "tests/integration/cluster/writer/test_identity.py"
            "::test_every_write_to_a_recreated_object_is_rejected_and_updates_the_cache",
        ),
    ),
    Mutant(
        name="an-apply-names-no-uid",
        invariant="I5",
        file="gco_stream/cluster/writer.py",
        old='return await self._apply(manifest, {"uid": uid}, names.FIELD_MANAGER)',
        new="return await self._apply(manifest, {}, names.FIELD_MANAGER)",
        breaks="an object that another client recreated in the meantime is overwritten",
        tests=("tests/cluster/test_writer.py::test_applying_does_not_change_the_manifest",),
    ),
    Mutant(
        name="a-creation-takes-what-is-there",
        invariant="I5",
        file="gco_stream/cluster/writer.py",
        old='{"resourceVersion": _ABSENT_VERSION}',
        new="{}",
        breaks="a foreign object that the watch does not show is overwritten",
        tests=("tests/cluster/test_writer.py::test_applying_does_not_change_the_manifest",),
    ),
    Mutant(
        name="promotion-over-a-stop",
        invariant="I6",
        file="gco_stream/table/endpoints.py",
        old='("desired_state", "target_regions", "spec", "created_at")',
        new='("target_regions", "spec", "created_at")',
        breaks="a user's stop is undone by a promotion that was decided before it",
        tests=("tests/integration/table/test_endpoints.py::test_promotion_loses_against_a_faster_user",),
    ),
    Mutant(
        name="purging-what-was-changed",
        invariant="I6",
        file="gco_stream/table/endpoints.py",
        old=(
            '                "delete_item",\n'
            '                Key={"endpoint_name": last_read["endpoint_name"]},\n'
            "                ConditionExpression=condition,\n"
            "                ExpressionAttributeNames=names,\n"
            "                ExpressionAttributeValues=values,\n"
        ),
        new=('                "delete_item",\n                Key={"endpoint_name": last_read["endpoint_name"]},\n'),
        breaks="an endpoint that was restored or recreated is removed from the table",
        tests=("tests/integration/table/test_endpoints.py::test_purge_loses_against_a_faster_user",),
    ),
    Mutant(
        name="a-status-brings-an-item-back",
        invariant="I6",
        file="gco_stream/table/endpoints.py",
        old="""    "attribute_exists(endpoint_name) AND "
    "(NOT attribute_type(region_status.#r.epoch, :N) OR region_status.#r.epoch < :e"
    " OR (region_status.#r.epoch = :e AND NOT region_status.#r.last_sync > :t)"
    " OR region_status.#r.epoch >= :max)"
)
_SET_MAP: Final = "SET region_status = :m"
_NO_MAP: Final = "attribute_exists(endpoint_name) AND NOT attribute_type(region_status, :M)"
""",
        new="""    "(NOT attribute_type(region_status.#r.epoch, :N) OR region_status.#r.epoch < :e"
    " OR (region_status.#r.epoch = :e AND NOT region_status.#r.last_sync > :t)"
    " OR region_status.#r.epoch >= :max)"
)
_SET_MAP: Final = "SET region_status = :m"
_NO_MAP: Final = "NOT attribute_type(region_status, :M)"
""",
        breaks="a report on an endpoint that was just purged creates an empty item in the table",
        tests=("tests/integration/table/test_endpoints.py::test_a_status_never_brings_an_item_back",),
    ),
    Mutant(
        name="a-status-replaces-the-whole-map",
        invariant="I6",
        file="gco_stream/table/endpoints.py",
        old='_NO_MAP: Final = "attribute_exists(endpoint_name) AND NOT attribute_type(region_status, :M)"',
        new='_NO_MAP: Final = "attribute_exists(endpoint_name) AND NOT attribute_type(endpoint_name, :M)"',
        breaks="if regions report at the same time, all reports but one are lost",
        tests=("tests/integration/table/test_endpoints.py::test_concurrent_reports_of_twelve_regions_are_all_stored",),
    ),
    Mutant(
        name="a-binary-value-is-no-longer-itself",
        invariant="I6",
        file="gco_stream/engine/state/item_cache.py",
        old='            return {"B": bytes.fromhex(content)}\n',
        new='            return {"B": content}\n',
        breaks="the condition that an item is unchanged never holds: it is neither promoted nor purged",
        tests=(
            "tests/engine/state/test_item_cache.py::test_binary_values_are_returned_as_they_were_stored_at_any_depth",
        ),
    ),
    Mutant(
        name="an-older-report-replaces-a-newer-one",
        invariant="I6",
        file="gco_stream/table/endpoints.py",
        old="AND NOT region_status.#r.last_sync > :t)",
        new="AND (NOT region_status.#r.last_sync > :t OR attribute_exists(endpoint_name)))",
        breaks="a report that was abandoned and arrives late replaces a newer one",
        tests=("tests/chaos/dynamodb/test_dynamodb_faults.py::test_a_late_report_does_not_replace_a_newer_one",),
    ),
    Mutant(
        name="an-absent-attribute-may-have-come",
        invariant="I6",
        file="gco_stream/table/expressions.py",
        old='            parts.append(f"attribute_not_exists(#seen{number})")\n',
        new='            del names[f"#last_read{number}"]\n',
        breaks="a spec that the user has just written is ignored",
        tests=("tests/table/test_expressions.py::test_a_condition_holds_only_for_the_item_as_read",),
    ),
    Mutant(
        name="a-report-on-an-older-wish-counts",
        invariant="I6",
        file="gco_stream/planning/lifecycle/health.py",
        old=" and not (is_target and outdated)",
        new="",
        breaks="an image that does not run anywhere yet is promoted because of reports on the previous one",
        tests=(
            "tests/planning/lifecycle/test_promotion.py::test_a_report_on_an_older_spec_does_not_count_for_promotion",
        ),
    ),
    Mutant(
        name="a-hold-is-not-obeyed",
        invariant="I6",
        file="gco_stream/planning/planner.py",
        old="    if item.hold is not None:\n",
        new="    if False:\n",
        breaks="an endpoint on hold is changed",
        tests=(
            "tests/planning/lifecycle/test_refusal.py::test_a_held_endpoint_is_left_unchanged_and_reports_the_hold",
        ),
    ),
    Mutant(
        name="one-scan-is-proof",
        invariant="I7",
        file="gco_stream/engine/deletion/orphan_tracker.py",
        old="_REQUIRED_SCANS: Final = 2",
        new="_REQUIRED_SCANS: Final = 1",
        breaks="one scan of a wrong table starts deletions",
        tests=(
            "tests/engine/deletion/test_orphan_tracker.py::test_two_consecutive_complete_scans_are_proof_and_one_is_not",
        ),
    ),
    Mutant(
        name="an-empty-table-is-proof",
        invariant="I7",
        file="gco_stream/engine/deletion/orphan_tracker.py",
        old=("        self._table_empty = not seen\n        if not seen:\n            self._missing_scans.clear()\n"),
        new="",
        breaks="two scans of a wiped table start deletions",
        tests=(
            "tests/engine/deletion/test_orphan_tracker.py::test_an_empty_table_proves_nothing_even_after_many_scans",
        ),
    ),
    Mutant(
        name="a-cut-scan-is-a-whole-one",
        invariant="I7",
        file="gco_stream/table/endpoints.py",
        old='            start = page.get("LastEvaluatedKey")\n            if not start:\n',
        new='            start = page.get("LastEvaluatedKey")\n            if not start or len(page["Items"]) < 2:\n',
        breaks="half of the table is mistaken for all of it",
        tests=("tests/engine/reconcile/test_consistent_reads.py::test_a_scan_continues_after_a_page_without_items",),
    ),
    Mutant(
        name="a-page-that-was-cut-counts",
        invariant="I7",
        file="gco_stream/table/endpoints.py",
        old='if not isinstance(items, list) or response.get("Count") != len(items):',
        new="if not isinstance(items, list):",
        breaks="a page with missing items is evidence that they were deleted",
        tests=("tests/table/test_bad_answers.py::test_an_invalid_page_is_an_error_and_not_an_empty_table",),
    ),
    Mutant(
        name="a-cut-answer-is-a-missing-item",
        invariant="I7",
        file="gco_stream/aws/item_parser.py",
        old="        parsed = _load(body)\n",
        new='        parsed = _load(body) if body else {"Items": [], "Count": 0, "Records": []}\n',
        breaks="a proxy's empty response means that an item was deleted, and its pods are deleted",
        tests=("tests/table/test_bad_answers.py::test_a_foreign_body_is_not_a_missing_item",),
    ),
    Mutant(
        name="scans-have-the-last-word",
        invariant="I7",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="if not self._guard.permits(plan) or (planned.inputs.item is None and not run.confirmed):",
        new="if not self._guard.permits(plan):",
        breaks="an item that exists after all loses its objects",
        tests=(
            "tests/engine/deletion/test_removal.py::test_a_removal_that_needs_no_place_still_needs_a_read_of_the_item",
        ),
    ),
    Mutant(
        name="removals-are-not-told-before-they-begin",
        invariant="I7",
        file="gco_stream/engine/deletion/budget.py",
        old="return digest in self._current() and digest in self._persisted",
        new="return digest in self._current()",
        breaks="in a crash loop each start has the full budget",
        tests=(
            "tests/engine/deletion/test_budget.py::test_a_reserved_removal_may_start_only_once_the_lease_records_it",
        ),
    ),
    Mutant(
        name="a-new-leader-has-a-whole-budget",
        invariant="I7",
        file="gco_stream/engine/deletion/budget.py",
        old="self._spent: dict[str, float] = {_ALL: now()} if recorded is None else recorded",
        new="self._spent: dict[str, float] = {}",
        breaks="a wrong REGION removes as many endpoints as the budget permits with every restart",
        tests=("tests/engine/deletion/test_budget.py::test_a_new_leader_continues_with_the_budget_of_the_last_one",),
    ),
    Mutant(
        name="leaving-the-region-spends-no-budget",
        invariant="I7",
        file="gco_stream/planning/planner.py",
        old='f"the item no longer targets {policy.region}", spends_budget=True)',
        new='f"the item no longer targets {policy.region}", spends_budget=False)',
        breaks="a wrong REGION removes every endpoint at once",
        tests=(
            "tests/planning/lifecycle/test_removal.py::test_leaving_the_region_removes_the_objects_within_the_budget",
        ),
    ),
    Mutant(
        name="a-spec-that-cannot-be-read-is-a-deletion",
        invariant="I7",
        file="gco_stream/planning/planner.py",
        old=("summarize(endpoint.all_problems)),)\n        return EndpointDecision(errors=errors), status"),
        new=(
            "summarize(endpoint.all_problems)),)\n"
            '        return plan_removal(context, "no spec", spends_budget=False), status'
        ),
        breaks="a typo in an item removes a running endpoint",
        tests=(
            "tests/planning/lifecycle/test_refusal.py::test_an_endpoint_with_an_invalid_spec_keeps_its_objects_and_reports_why",
        ),
    ),
    Mutant(
        name="two-take-the-last-place-in-the-budget",
        invariant="I7",
        file="gco_stream/engine/deletion/budget.py",
        old="        self._spent.setdefault(short_digest(name), self._now())\n",
        new="",
        breaks="the budget always has room for one more endpoint",
        tests=("tests/engine/deletion/test_removal.py::test_many_concurrent_removals_never_exceed_the_budget",),
    ),
    Mutant(
        name="blanked-regions-are-a-wish",
        invariant="I7",
        file="gco_stream/model/item/endpoint.py",
        old='        raise ValueError("empty")\n',
        new="        return value\n",
        breaks="an item whose target_regions were blanked leaves every region",
        tests=("tests/model/item/test_endpoint.py::test_an_invalid_identity_makes_the_item_unreadable",),
    ),
    Mutant(
        name="an-answer-without-a-list-is-an-empty-cluster",
        invariant="I7",
        file="gco_stream/cluster/api/objects.py",
        old="    if items is not None and not isinstance(items, list):\n",
        new="    if False:\n",
        breaks="a proxy's response empties the cache, and everything is recreated",
        tests=("tests/cluster/cache/test_reflector.py::test_a_200_that_is_not_a_list_never_empties_the_cache",),
    ),
)
