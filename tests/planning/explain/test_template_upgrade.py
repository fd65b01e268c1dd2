import copy
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import pytest

from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.explain.template_upgrade import EndpointUpgrade, select, upgrade_of
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings, TemplateInputs
from gco_stream.planning.types.plan import Apply, UpgradeManagedFields
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, fields_of, legacy, with_spec

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")


def with_grace(inputs: TemplateInputs) -> JsonObject:
    """A newer rendering: pods get longer to end."""
    pods = copy.deepcopy(RENDERINGS.render(inputs, 1))
    pods["spec"]["terminationGracePeriodSeconds"] = 120
    return pods


TWO = Renderings(MappingProxyType({**RENDERINGS.by_version, 2: with_grace}))
NEWER = replace(POLICY, renderings=TWO)


def made_by_version_1(asked: Endpoint | None = None) -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint that the older program made, now in the hands of the newer one."""
    cluster, asked = SimulatedCluster(), asked or endpoint()
    cluster.reconcile(asked)
    cluster.roll_out()
    cluster.reconcile(asked)
    cluster.policy = NEWER
    return cluster, asked


def adopted() -> tuple[SimulatedCluster, Endpoint]:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    legacy(cluster, asked)
    cluster.reconcile(asked)
    return cluster, asked


def ask(cluster: SimulatedCluster, version: str, ref: ObjectRef = MAIN) -> None:
    """What the command line writes."""
    cluster.change(ref, annotations={**cluster.objects[ref].annotations, names.UPGRADE_ANNOTATION: version})


def main(cluster: SimulatedCluster) -> ObservedObject:
    return cluster.objects[MAIN]


def grace(cluster: SimulatedCluster) -> int | None:
    seconds: int | None = main(cluster).spec["template"]["spec"].get("terminationGracePeriodSeconds")
    return seconds


def version(cluster: SimulatedCluster) -> str:
    return main(cluster).annotations[names.TEMPLATE_VERSION_ANNOTATION]


def test_a_newer_program_changes_nothing_of_what_an_older_one_made() -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    assert cluster.plan(asked).steps == ()
    cluster.reconcile(with_spec(asked, replicas=3))
    assert (grace(cluster), version(cluster)) == (None, "1")
    assert main(cluster).spec["template"] == before.spec["template"]


def test_drift_is_put_back_at_the_deployments_own_version() -> None:
    cluster, asked = made_by_version_1()
    spec = copy.deepcopy(dict(main(cluster).spec))
    spec["template"]["spec"]["serviceAccountName"] = "other"
    cluster.change(MAIN, spec=spec)
    cluster.reconcile(asked)
    assert main(cluster).spec["template"]["spec"]["serviceAccountName"] == "gco-service-account"
    assert (grace(cluster), version(cluster)) == (None, "1")


@pytest.mark.parametrize(
    "lost",
    [
        (names.TEMPLATE_VERSION_ANNOTATION,),
        (names.TEMPLATE_HASH_ANNOTATION,),
        (names.TEMPLATE_VERSION_ANNOTATION, names.TEMPLATE_HASH_ANNOTATION),
    ],
)
def test_losing_its_marks_restarts_nothing(lost: tuple[str, ...]) -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    cluster.change(MAIN, annotations={key: text for key, text in before.annotations.items() if key not in lost})
    cluster.reconcile(asked)
    assert main(cluster).spec == before.spec
    assert {key: main(cluster).annotations[key] for key in lost} == {key: before.annotations[key] for key in lost}


def test_a_change_of_the_template_moves_to_the_newest() -> None:
    cluster, asked = made_by_version_1()
    cluster.reconcile(with_spec(asked, image="registry.example/serve:2.0"))
    assert (grace(cluster), version(cluster)) == (120, "2")


def test_an_upgrade_that_is_asked_for_moves_to_the_newest_with_one_apply() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Apply)
    assert step.reason.startswith("an upgrade of its pod template from version 1 to 2 was asked for: spec.template")
    cluster.reconcile(asked)
    assert (grace(cluster), version(cluster)) == (120, "2")
    assert cluster.plan(asked).steps == ()


@pytest.mark.parametrize("text", ["1", "0", "", "two", "-3"])
def test_an_upgrade_to_what_it_has_or_to_rubbish_does_nothing(text: str) -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, text)
    assert cluster.plan(asked).steps == ()


def test_an_upgrade_asked_for_long_ago_does_nothing_for_a_rendering_that_came_later() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    cluster.reconcile(asked)
    three = Renderings(MappingProxyType({**TWO.by_version, 3: lambda inputs: TWO.render(inputs, 1)}))
    cluster.policy = replace(POLICY, renderings=three)
    assert cluster.plan(asked).steps == ()


def test_a_program_that_is_behind_upgrades_as_far_as_it_can_and_never_back() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "9")
    cluster.reconcile(asked)
    assert version(cluster) == "2"
    assert cluster.plan(asked).steps == ()
    cluster.policy = POLICY
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert "its pod template is kept, it is of version 2" in str(plan.notes[0])


def test_an_older_program_leaves_what_a_newer_one_made_alone_but_for_its_replicas() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    cluster.reconcile(asked)
    cluster.policy = POLICY
    assert cluster.plan(asked).steps == ()
    cluster.reconcile(with_spec(asked, replicas=3))
    assert (main(cluster).spec["replicas"], grace(cluster), version(cluster)) == (3, 120, "2")
    cluster.reconcile(with_spec(asked, env={"A": "1"}))
    assert (grace(cluster), version(cluster)) == (None, "1")


def test_an_adopted_deployment_stays_as_it_is_until_it_is_upgraded() -> None:
    cluster, asked = adopted()
    before = main(cluster)
    assert cluster.plan(asked).steps == ()
    ask(cluster, "2")
    assert [type(step) for step in cluster.plan(asked).steps] == [UpgradeManagedFields, Apply]
    cluster.reconcile(asked)
    assert before.annotations[names.TEMPLATE_VERSION_ANNOTATION] == "0"
    assert (grace(cluster), version(cluster), main(cluster).ownership.applied) == (120, "2", True)
    assert cluster.plan(asked).steps == ()


def test_one_of_the_former_system_that_was_upgraded_before_it_was_seen_is_not_stamped_first() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    legacy(cluster, asked)
    ask(cluster, "2")
    steps = [step for step in cluster.plan(asked).steps if step.ref == MAIN]
    assert [type(step) for step in steps] == [UpgradeManagedFields, Apply]


def test_a_hand_over_that_was_cut_short_is_gone_on_with() -> None:
    cluster, asked = adopted()
    ask(cluster, "2")
    cluster.execute(cluster.plan(asked).steps[0])
    cluster.reconcile(asked)
    assert version(cluster) == "2"
    cluster, asked = adopted()
    cluster.execute(UpgradeManagedFields(main(cluster), "an upgrade was asked for"))
    assert all(not isinstance(step, Apply) for step in cluster.plan(asked).steps)


def test_ours_without_an_entry_of_ours_is_taken_over_at_its_own_version() -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    cluster.change(MAIN, ownership=Ownership())
    cluster.reconcile(asked)
    assert (main(cluster).spec, version(cluster)) == (before.spec, "1")


def upgrade(cluster: SimulatedCluster, asked: Endpoint, now: datetime | None = None) -> EndpointUpgrade:
    deployments = {ref: obj for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    owned = {ref: Ownership(applied=True, fields={"f:spec": fields_of(obj.spec)}) for ref, obj in deployments.items()}
    return upgrade_of(asked, Observed(deployments), owned, now or cluster.now, cluster.policy)


def test_what_an_upgrade_would_change_is_told_field_by_field() -> None:
    cluster, asked = made_by_version_1()
    cluster.change(MAIN, spec={**main(cluster).spec, "replicas": 7})
    found = upgrade(cluster, asked)
    (behind,) = found.outdated
    assert (behind.ref, behind.uid, behind.version) == (MAIN, main(cluster).uid, 1)
    assert behind.changes == ("spec.template.spec.terminationGracePeriodSeconds: is missing, should be 120",)
    assert (found.is_rolling, found.obstacle) == (False, "")


def test_the_canary_is_upgraded_with_its_main() -> None:
    cluster, asked = made_by_version_1(endpoint(spec=CANARY))
    assert [one.ref.name for one in upgrade(cluster, asked).outdated] == ["chat", "chat-canary"]
    ask(cluster, "2", ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary"))
    cluster.reconcile(asked)
    assert [one.ref.name for one in upgrade(cluster, asked).outdated] == ["chat"]


def test_an_adopted_deployment_can_be_upgraded_whether_it_was_stamped_yet_or_not() -> None:
    cluster, asked = adopted()
    assert [one.version for one in upgrade(cluster, asked).outdated] == [0]
    cluster = SimulatedCluster(NEWER)
    legacy(cluster, asked)
    assert [one.version for one in upgrade(cluster, asked).outdated] == [0]


def test_what_the_former_system_set_and_we_do_not_is_told_to_go() -> None:
    cluster, asked = adopted()
    spec = copy.deepcopy(dict(main(cluster).spec))
    spec["template"]["spec"]["containers"][0]["command"] = ["/bin/sh"]
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert "spec.template.spec.containers[inference].command: is ['/bin/sh'], should not be there" in behind.changes


def test_a_default_that_the_former_system_is_said_to_have_set_is_no_change() -> None:
    cluster, asked = adopted()
    spec = copy.deepcopy(dict(main(cluster).spec))
    spec["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "serviceAccount": "gco-service-account"}
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert behind.changes == ()
    spec["template"]["spec"]["dnsPolicy"] = "None"
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert "spec.template.spec.dnsPolicy: is 'None', should not be there" in behind.changes


def test_nothing_is_behind_that_is_newest_or_newer_than_this_program() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    cluster.reconcile(asked)
    assert upgrade(cluster, asked).outdated == ()
    cluster.policy = POLICY
    assert upgrade(cluster, asked).outdated == ()


def test_an_upgrade_is_rolling_from_being_asked_for_until_every_pod_is_new() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    assert (upgrade(cluster, asked).is_rolling, upgrade(cluster, asked).outdated) == (True, ())
    cluster.reconcile(asked)
    assert upgrade(cluster, asked).is_rolling
    cluster.roll_out()
    assert not upgrade(cluster, asked).is_rolling


def test_an_upgrade_that_would_not_be_carried_out_says_why() -> None:
    cluster, asked = made_by_version_1()
    held = asked.model_copy(update={"hold": "until Friday"})
    assert upgrade(cluster, held).obstacle == "held: until Friday"
    assert upgrade(cluster, held).outdated[0].changes != ()
    broken = endpoint(spec={"port": 0})
    assert "spec.port: 0 is not allowed" in upgrade(cluster, broken).obstacle


def test_somebody_elses_deployment_is_never_behind() -> None:
    cluster, asked = made_by_version_1()
    cluster.change(MAIN, annotations={**main(cluster).annotations, "gco.io/table": "arn:another"})
    assert upgrade(cluster, asked).outdated == ()


def candidate(name: str, *, rolling: bool = False, obstacle: str = "") -> EndpointUpgrade:
    cluster, asked = made_by_version_1(endpoint(name))
    (behind,) = upgrade(cluster, asked).outdated
    return EndpointUpgrade(name, () if rolling else (behind,), is_rolling=rolling, obstacle=obstacle)


def test_so_many_at_once_are_taken_by_name_and_those_still_rolling_count() -> None:
    every = [candidate("d"), candidate("b"), candidate("a", rolling=True), candidate("c"), EndpointUpgrade("e")]
    found = select(every, 2)
    assert [one.endpoint for one in found.selected] == ["b"]
    assert [one.endpoint for one in found.deferred] == ["c", "d"]
    assert found.rolling == ("a",)
    assert select(every, 1).selected == ()


def test_what_cannot_be_upgraded_takes_nobodys_place() -> None:
    found = select([candidate("a", obstacle="held: x"), candidate("b")], 1)
    assert [one.endpoint for one in found.selected] == ["b"]
    assert [one.endpoint for one in found.blocked] == ["a"]
