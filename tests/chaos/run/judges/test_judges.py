"""The judges of the chaos run find planted errors, and find nothing in correct records."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.leadership.audited_writes import LeaderWrite
from tests.chaos.run.actors.faults import plan_faults
from tests.chaos.run.judges import cluster_state as standing
from tests.chaos.run.judges import deletions, intents, programs, rollouts
from tests.chaos.run.judges.delayed_writes import delayed_writes
from tests.chaos.run.judges.recorded import (
    CANARY,
    DEPLOYMENT,
    HPA,
    INGRESS,
    NAMESPACE,
    ONE,
    SERVICE,
    TWO,
    Ref,
    call,
    event,
    history,
    item_version,
    recorded,
    region_report,
    template,
    user,
)
from tests.chaos.run.judges.staleness import stale_since
from tests.chaos.run.records.evidence import Action, Change, FaultSpan, Plain
from tests.support.items import REGION


class TestDeletions:
    """Tests of deletions.unrequested_deletions."""

    @pytest.mark.parametrize("ref", [SERVICE, DEPLOYMENT, INGRESS])
    def test_deleting_an_object_of_a_running_endpoint_is_found(self, ref: Ref) -> None:
        ready = template(ONE, 1.0, "ADDED")
        found = deletions.unrequested_deletions(
            recorded((0.0, item_version()), calls=(call("delete", ref, 50.0),), events=(ready,))
        )
        assert len(found) == 1
        assert "while the item was running" in found[0]

    @pytest.mark.parametrize("ref", [SERVICE, DEPLOYMENT])
    def test_stopping_deletes_neither_service_nor_deployment(self, ref: Ref) -> None:
        assert deletions.unrequested_deletions(
            recorded((0.0, item_version(state="stopped")), calls=(call("delete", ref, 50.0),))
        )

    @pytest.mark.parametrize(
        ("ref", "plain"),
        [
            (DEPLOYMENT, item_version(state="deleted")),
            (DEPLOYMENT, item_version(target_regions=["eu-west-1"])),
            (DEPLOYMENT, {}),
            (CANARY, item_version()),
            (INGRESS, item_version(state="stopped")),
            (INGRESS, item_version(spec={"replicas": 0})),
            (HPA, item_version()),
        ],
    )
    def test_unwanted_objects_may_be_deleted(self, ref: Ref, plain: Plain) -> None:
        assert (
            deletions.unrequested_deletions(
                recorded((0.0, item_version()), (40.0, plain), calls=(call("delete", ref, 50.0),))
            )
            == []
        )

    def test_recently_unwanted_objects_may_be_deleted_but_not_later(self) -> None:
        versions = (0.0, item_version(state="deleted")), (10.0, item_version(state="deploying"))
        assert deletions.unrequested_deletions(recorded(*versions, calls=(call("delete", DEPLOYMENT, 11.0),))) == []
        assert deletions.unrequested_deletions(recorded(*versions, calls=(call("delete", DEPLOYMENT, 20.0),)))
        cut_off = (FaultSpan(8.0, 21.0, "network silent", "r0"),)
        assert (
            deletions.unrequested_deletions(
                recorded(*versions, calls=(call("delete", DEPLOYMENT, 20.0),), spans=cut_off)
            )
            == []
        )

    def test_an_ingress_may_be_deleted_only_without_ready_replicas(self) -> None:
        ready, unready = template(ONE, 1.0, "ADDED"), event(DEPLOYMENT, 30.0, ready=0)
        calls = (call("delete", INGRESS, 50.0),)
        assert deletions.unrequested_deletions(recorded((0.0, item_version()), calls=calls, events=(ready,)))
        assert (
            deletions.unrequested_deletions(recorded((0.0, item_version()), calls=calls, events=(ready, unready))) == []
        )
        healed = event(DEPLOYMENT, 40.0, ready=1)
        assert deletions.unrequested_deletions(
            recorded((0.0, item_version()), calls=calls, events=(ready, unready, healed))
        )

    def test_objects_that_disappear_without_a_deletion_are_found(self) -> None:
        gone = event(SERVICE, 500.0, "DELETED")
        assert deletions.unrequested_deletions(recorded((0.0, item_version()), events=(gone,)))
        by_hand = (Action(499.0, 499.1, "hands", "delete Service", "chat", about=SERVICE),)
        assert deletions.unrequested_deletions(recorded((0.0, item_version()), events=(gone,), actions=by_hand)) == []

    def test_a_whole_collection_is_never_deleted(self) -> None:
        assert deletions.unrequested_deletions(
            recorded((0.0, {}), calls=(call("deletecollection", ("Service", NAMESPACE, ""), 5.0),))
        )

    def test_a_terminating_object_may_be_deleted_again(self) -> None:
        calls = (call("delete", SERVICE, 50.0),)
        for going in (True, False):
            events = (event(SERVICE, 40.0, going=going),)
            assert (
                bool(deletions.unrequested_deletions(recorded((0.0, item_version()), calls=calls, events=events)))
                is not going
            )

    def test_a_rejected_deletion_does_not_count(self) -> None:
        assert (
            deletions.unrequested_deletions(
                recorded((0.0, item_version()), calls=(call("delete", SERVICE, 50.0, 409),))
            )
            == []
        )


class TestIntents:
    """Tests of intents."""

    def test_a_change_that_no_user_wrote_is_found(self) -> None:
        found = intents.overwritten(recorded((0.0, {}), (1.0, item_version(updated_at="m1")), actions=(user("m1"),)))
        assert found == []
        assert intents.overwritten(recorded((0.0, {}), (1.0, item_version(updated_at="m1"))))

    def test_a_users_image_that_comes_back_is_found(self) -> None:
        versions = (
            (1.0, item_version(updated_at="m1")),
            (2.0, item_version(TWO, updated_at="m2")),
            (3.0, item_version(updated_at="m3")),
        )
        found = intents.overwritten(recorded(*versions, actions=(user("m1"), user("m2"))))
        assert len(found) == 1
        assert "at 3.000 nobody wrote spec" in found[0]

    def test_a_promotion_needs_every_regions_report_on_the_current_intent(self) -> None:
        deploying = item_version(state="deploying", updated_at="m1")
        right = region_report(deploying, "running")
        deeds = (user("m1"),)
        after = (2.0, {**right, "desired_state": "running", "updated_at": "p"})
        assert intents.overwritten(recorded((1.0, right), after, actions=deeds)) == []
        for wrong in (
            region_report(deploying, "creating"),
            region_report(deploying, "running", intent="1:of-another"),
            {**right, "target_regions": [REGION, "eu-west-1"]},
        ):
            promoted = {**wrong, "desired_state": "running", "updated_at": "p"}
            assert intents.overwritten(recorded((1.0, wrong), (2.0, promoted), actions=deeds))

    def test_a_promotion_that_changes_more_than_the_state_is_found(self) -> None:
        right = region_report(item_version(state="deploying", updated_at="m1"), "running")
        promoted = {**right, "desired_state": "running", "updated_at": "p", "spec": {"image": TWO}}
        assert intents.overwritten(recorded((1.0, right), (2.0, promoted), actions=(user("m1"),)))

    def test_a_purge_needs_a_user_deletion_and_every_regions_report(self) -> None:
        deleted = item_version(state="deleted", updated_at="m1")
        deeds = (user("m1"),)
        assert intents.overwritten(recorded((1.0, region_report(deleted, "deleted")), (2.0, {}), actions=deeds)) == []
        assert intents.overwritten(recorded((1.0, region_report(deleted, "deleting")), (2.0, {}), actions=deeds))
        assert intents.overwritten(
            recorded((1.0, region_report(item_version(updated_at="m1"), "deleted")), (2.0, {}), actions=deeds)
        )

    def test_a_manual_removal_is_not_a_purge(self) -> None:
        deeds = user("m1"), Action(1.9, 2.0, "user", "take the item out by hand", "chat")
        nothing: dict[str, Any] = {}
        taken_out = (1.0, item_version(updated_at="m1")), (20.0, nothing)
        assert intents.overwritten(recorded(*taken_out, actions=deeds)) == []
        again = (21.0, item_version(updated_at="m1")), (40.0, nothing)
        assert intents.overwritten(recorded(*taken_out, *again, actions=deeds))

    def test_a_write_that_is_not_in_the_history_is_lost(self) -> None:
        evidence = recorded((1.0, item_version(updated_at="m1")), actions=(user("m1"), user("m2")))
        assert len(intents.lost_writes(evidence)) == 1

    def test_a_second_promotion_is_found(self) -> None:
        first, second = item_version(state="deploying"), item_version()
        again = Change(3.0, "chat", first, second)
        evidence = recorded((1.0, first), (2.0, second))
        assert intents.promoted_twice(evidence) == []
        assert intents.promoted_twice(replace(evidence, changes=(*evidence.changes, again)))
        anew = (*evidence.changes, *history((3.0, item_version(TWO, "deploying")), (4.0, item_version(TWO))))
        assert intents.promoted_twice(replace(evidence, changes=anew)) == []

    def test_a_report_of_an_earlier_leader_after_a_later_ones_is_found(self) -> None:
        plain = item_version()
        in_order = (1.0, region_report(plain, "running", epoch=1)), (2.0, region_report(plain, "running", epoch=2))
        assert intents.epochs_in_order(recorded(*in_order)) == []
        assert intents.epochs_in_order(recorded(*in_order, (3.0, region_report(plain, "error", epoch=1))))


class TestRollouts:
    """Tests of rollouts."""

    def test_one_template_per_change_is_allowed_and_no_more(self) -> None:
        versions = (0.0, item_version()), (100.0, item_version(TWO))
        right = template(ONE, 1.0, "ADDED"), template(TWO, 101.0)
        assert rollouts.repeated_rollouts(recorded(*versions, events=right)) == []
        assert rollouts.repeated_rollouts(
            recorded(*versions, events=(*right, template(ONE, 102.0), template(TWO, 103.0)))
        )

    def test_a_template_may_not_change_where_only_policies_did(self) -> None:
        versions = (0.0, item_version()), (100.0, item_version(spec={"replicas": 3}))
        turned = template(ONE, 1.0, "ADDED"), template("another", 101.0)
        assert rollouts.repeated_rollouts(recorded(*versions, events=turned))

    def test_a_manual_edit_and_its_repair_are_not_findings(self) -> None:
        events = template(ONE, 1.0, "ADDED"), template("by-hand", 50.0), template(ONE, 51.0)
        deeds = (Action(50.0, 50.1, "hands", "edit template", "chat", about=DEPLOYMENT),)
        assert rollouts.repeated_rollouts(recorded((0.0, item_version()), events=events, actions=deeds)) == []
        assert rollouts.repeated_rollouts(recorded((0.0, item_version()), events=events))
        assert rollouts.unrequested_images(recorded((0.0, item_version()), events=events, actions=deeds)) == []

    def test_an_image_that_is_not_asked_for_any_more_is_found(self) -> None:
        versions = (0.0, item_version()), (100.0, item_version(TWO))
        right = template(ONE, 1.0, "ADDED"), template(TWO, 101.0)
        assert rollouts.unrequested_images(recorded(*versions, events=right)) == []
        assert rollouts.unrequested_images(recorded(*versions, events=(*right, template(ONE, 200.0))))

    def test_a_canarys_image_in_the_main_is_found(self) -> None:
        with_canary = item_version(spec={"canary": {"image": TWO}})
        canary = template(TWO, 2.0, "ADDED", CANARY)
        main = template(ONE, 1.0, "ADDED")
        assert rollouts.unrequested_images(recorded((0.0, with_canary), events=(main, canary))) == []
        assert rollouts.unrequested_images(recorded((0.0, with_canary), events=(main, template(TWO, 50.0))))

    def test_a_manual_edit_that_a_frozen_server_executed_late_is_not_the_programs(self) -> None:
        made, edited = template(ONE, 1.0, "ADDED"), template("by-hand", 60.5)
        frozen = (FaultSpan(45.0, 60.0, "API server frozen"),)
        for failed, allowed in (("timed out", True), ("", False)):
            edit = Action(50.0, 50.2, "hands", "edit template", "chat", about=DEPLOYMENT, failed=failed)
            found = rollouts.unrequested_images(
                recorded((0.0, item_version()), events=(made, edited), actions=(edit,), spans=frozen)
            )
            assert (found == []) is allowed


class TestStanding:
    """Tests of cluster_state."""

    def test_a_write_to_a_foreign_object_is_found(self) -> None:
        foreign = frozenset({SERVICE})
        right, wrong = call("patch", SERVICE, 5.0, 409), call("patch", SERVICE, 6.0, 200)
        assert standing.foreign_writes(recorded(calls=(right,), foreign=foreign)) == []
        assert standing.foreign_writes(recorded(calls=(right, wrong), foreign=foreign))

    def test_reporting_deleted_while_objects_exist_is_found(self) -> None:
        deleted = item_version(state="deleted")
        versions = (0.0, region_report(deleted, "deleting")), (50.0, region_report(deleted, "deleted"))
        stood = event(SERVICE, 1.0, "ADDED")
        assert standing.reported_deleted_too_early(recorded(*versions, events=(stood,)))
        assert standing.reported_deleted_too_early(recorded(*versions, events=(stood, event(SERVICE, 60.0, "DELETED"))))
        assert (
            standing.reported_deleted_too_early(recorded(*versions, events=(stood, event(SERVICE, 49.0, "DELETED"))))
            == []
        )

    def test_any_write_at_rest_is_found(self) -> None:
        lease = call("update", ("Lease", NAMESPACE, "inference-monitor-leader"), 60.0)
        read, write = call("get", SERVICE, 60.0), call("patch", SERVICE, 60.0)
        assert standing.writes_at_rest(recorded((10.0, item_version()), calls=(lease, read)), 50.0) == []
        assert standing.writes_at_rest(recorded((10.0, item_version()), calls=(lease, write)), 50.0)
        assert standing.writes_at_rest(
            recorded((10.0, item_version()), (55.0, region_report(item_version(), "running"))), 50.0
        )


class TestKnowledge:
    """Tests of stale_since."""

    def test_a_replica_may_be_as_stale_as_its_faults_explain(self) -> None:
        assert stale_since((), "r0", 100.0) == 97.0
        other = (FaultSpan(50.0, 99.0, "network cut", "r1"),)
        assert stale_since(other, "r0", 100.0) == 97.0
        in_a_row = FaultSpan(90.0, 99.0, "network cut", "r0"), FaultSpan(80.0, 91.0, "DynamoDB frozen")
        assert stale_since(in_a_row, "r0", 100.0) == 77.0


class TestPlan:
    """Tests of plan_faults."""

    def test_a_seed_plans_the_same_faults_again_and_another_seed_others(self) -> None:
        assert plan_faults(7, 300.0, 3) == plan_faults(7, 300.0, 3) != plan_faults(8, 300.0, 3)

    def test_a_longer_run_begins_like_a_shorter_one(self) -> None:
        longer = plan_faults(7, 300.0, 3)
        assert [one for one in longer if one.at < 30.0] == plan_faults(7, 30.0, 3)


class TestPrograms:
    """Tests of programs."""

    def test_a_bug_in_the_log_is_found(self) -> None:
        fine = [{"message": "reconciled", "result": "failed", "errors": ["no answer"]}]
        assert programs.logged_faults("r0", fine) == []
        assert programs.logged_faults(
            "r0", [*fine, {"message": "unexpected error in reconcile", "exception": "Traceback\nKeyError"}]
        )
        assert programs.logged_faults("r0", [{"text": "Task exception was never retrieved"}])

    def test_too_much_memory_is_found(self) -> None:
        assert programs.over_memory_limit({"r0": 100.0}, 200.0) == []
        assert programs.over_memory_limit({"r0": 300.0}, 200.0)


class TestHeldUp:
    """Tests of delayed_writes."""

    @staticmethod
    def received(at: float, status: int = 200) -> LeaderWrite:
        moment = int(at * 1e6)
        return LeaderWrite("t-1:r0", "patch", "deployments", "chat", status, moment, moment + 1000)

    def test_writes_queued_by_a_frozen_server_are_delayed_writes(self) -> None:
        frozen = [FaultSpan(10.0, 20.0, "API server frozen")]
        assert delayed_writes(self.received(20.1), frozen)
        assert not delayed_writes(self.received(23.0), frozen)
        assert not delayed_writes(self.received(9.0), frozen)

    def test_writes_right_after_a_silent_network_are_delayed_writes(
        self,
    ) -> None:
        silent = [FaultSpan(10.0, 20.0, "network silent", "r0")]
        assert delayed_writes(self.received(20.1), silent)
        assert not delayed_writes(self.received(21.0), silent)
        assert delayed_writes(self.received(21.0, status=504), silent)
        assert not delayed_writes(self.received(20.1), [FaultSpan(10.0, 20.0, "network silent", "r1")])
