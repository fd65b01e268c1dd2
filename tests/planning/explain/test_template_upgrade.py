import copy
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.explain.template_upgrade import EndpointUpgrade, select, upgrade_of
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings, TemplateInputs
from gco_stream.planning.types.steps import Apply, UpgradeManagedFields
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, fields_of, legacy, with_spec

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")


def with_grace(inputs: TemplateInputs) -> JsonObject:
    """A newer rendering with a longer termination grace period."""
    pods = copy.deepcopy(RENDERINGS.render(inputs, 1))
    pods["spec"]["terminationGracePeriodSeconds"] = 120
    return pods


ONE = Renderings(MappingProxyType({1: RENDERINGS.by_version[1]}))
TWO = Renderings(MappingProxyType({**ONE.by_version, 2: with_grace}))
OLDER, NEWER = (replace(POLICY, renderings=renderings) for renderings in (ONE, TWO))


def made_by_version_1(asked: Endpoint | None = None) -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint created by the older release and now managed by the newer one."""
    cluster, asked = SimulatedCluster(OLDER), asked or endpoint()
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
    """Requests an upgrade like the command line does."""
    cluster.change(ref, annotations={**cluster.objects[ref].annotations, names.UPGRADE_ANNOTATION: version})


def main(cluster: SimulatedCluster) -> ObservedObject:
    return cluster.objects[MAIN]


def grace(cluster: SimulatedCluster) -> int | None:
    seconds: int | None = main(cluster).spec["template"]["spec"].get("terminationGracePeriodSeconds")
    return seconds


def version(cluster: SimulatedCluster) -> str:
    return main(cluster).annotations[names.TEMPLATE_VERSION_ANNOTATION]


def test_a_newer_release_changes_no_objects_of_an_older_one() -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    assert cluster.plan(asked).steps == ()
    cluster.reconcile(with_spec(asked, replicas=3))
    assert (grace(cluster), version(cluster)) == (None, "1")
    assert main(cluster).spec["template"] == before.spec["template"]


def test_drift_is_corrected_at_the_deployments_own_version() -> None:
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
def test_losing_annotations_restarts_no_pods(lost: tuple[str, ...]) -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    cluster.change(MAIN, annotations={key: text for key, text in before.annotations.items() if key not in lost})
    cluster.reconcile(asked)
    assert main(cluster).spec == before.spec
    assert {key: main(cluster).annotations[key] for key in lost} == {key: before.annotations[key] for key in lost}


def test_a_template_change_uses_the_newest_version() -> None:
    cluster, asked = made_by_version_1()
    cluster.reconcile(with_spec(asked, image="registry.example/serve:2.0"))
    assert (grace(cluster), version(cluster)) == (120, "2")


def test_a_requested_upgrade_uses_the_newest_version_with_one_apply() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Apply)
    assert step.reason.startswith("an upgrade of the pod template from version 1 to 2 was requested: spec.template")
    cluster.reconcile(asked)
    assert (grace(cluster), version(cluster)) == (120, "2")
    assert cluster.plan(asked).steps == ()


@pytest.mark.parametrize("text", ["1", "0", "", "two", "-3"])
def test_an_upgrade_to_the_same_or_an_invalid_version_does_nothing(text: str) -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, text)
    assert cluster.plan(asked).steps == ()


def test_an_old_upgrade_request_does_not_apply_to_later_versions() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    cluster.reconcile(asked)
    three = Renderings(MappingProxyType({**TWO.by_version, 3: lambda inputs: TWO.render(inputs, 1)}))
    cluster.policy = replace(POLICY, renderings=three)
    assert cluster.plan(asked).steps == ()


def test_an_older_release_upgrades_as_far_as_it_can_and_never_back() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "9")
    cluster.reconcile(asked)
    assert version(cluster) == "2"
    assert cluster.plan(asked).steps == ()
    cluster.policy = OLDER
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert "the pod template has version 2, which this release does not know" in str(plan.notes[0])


def test_an_older_release_only_scales_what_a_newer_one_created() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    cluster.reconcile(asked)
    cluster.policy = OLDER
    assert cluster.plan(asked).steps == ()
    cluster.reconcile(with_spec(asked, replicas=3))
    assert (main(cluster).spec["replicas"], grace(cluster), version(cluster)) == (3, 120, "2")
    cluster.reconcile(with_spec(asked, env={"A": "1"}))
    assert (grace(cluster), version(cluster)) == (None, "1")


def test_an_adopted_deployment_is_unchanged_until_it_is_upgraded() -> None:
    cluster, asked = adopted()
    before = main(cluster)
    assert cluster.plan(asked).steps == ()
    ask(cluster, "2")
    assert [type(step) for step in cluster.plan(asked).steps] == [UpgradeManagedFields, Apply]
    cluster.reconcile(asked)
    assert before.annotations[names.TEMPLATE_VERSION_ANNOTATION] == "0"
    assert (grace(cluster), version(cluster), main(cluster).ownership.applied) == (120, "2", True)
    assert cluster.plan(asked).steps == ()


def test_a_deployment_of_gco_upgraded_before_adoption_is_not_annotated_first() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    legacy(cluster, asked)
    ask(cluster, "2")
    steps = [step for step in cluster.plan(asked).steps if step.ref == MAIN]
    assert [type(step) for step in steps] == [UpgradeManagedFields, Apply]


def test_an_interrupted_takeover_of_managed_fields_continues() -> None:
    cluster, asked = adopted()
    ask(cluster, "2")
    cluster.execute(cluster.plan(asked).steps[0])
    cluster.reconcile(asked)
    assert version(cluster) == "2"
    cluster, asked = adopted()
    cluster.execute(
        UpgradeManagedFields(
            main(cluster).ref, "an upgrade was requested", uid=main(cluster).uid, observed=main(cluster)
        )
    )
    assert all(not isinstance(step, Apply) for step in cluster.plan(asked).steps)


def test_a_deployment_without_our_managed_fields_is_taken_over_at_its_own_version() -> None:
    cluster, asked = made_by_version_1()
    before = main(cluster)
    cluster.change(MAIN, ownership=Ownership())
    cluster.reconcile(asked)
    assert (main(cluster).spec, version(cluster)) == (before.spec, "1")


def upgrade(cluster: SimulatedCluster, asked: Endpoint, now: datetime | None = None) -> EndpointUpgrade:
    deployments = {ref: obj for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    owned = {ref: Ownership(applied=True, fields={"f:spec": fields_of(obj.spec)}) for ref, obj in deployments.items()}
    return upgrade_of(asked, Observed(deployments), owned, now or cluster.now, cluster.policy)


def test_an_upgrade_lists_each_field_that_it_would_change() -> None:
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


def test_an_adopted_deployment_can_be_upgraded_before_or_after_its_annotation() -> None:
    cluster, asked = adopted()
    assert [one.version for one in upgrade(cluster, asked).outdated] == [0]
    cluster = SimulatedCluster(NEWER)
    legacy(cluster, asked)
    assert [one.version for one in upgrade(cluster, asked).outdated] == [0]


def test_an_upgrade_lists_removed_fields_that_only_gco_set() -> None:
    cluster, asked = adopted()
    spec = copy.deepcopy(dict(main(cluster).spec))
    spec["template"]["spec"]["containers"][0]["command"] = ["/bin/sh"]
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert "spec.template.spec.containers[inference].command: is ['/bin/sh'], should be absent" in behind.changes


def test_a_default_owned_by_gco_is_not_listed_as_a_change() -> None:
    cluster, asked = adopted()
    spec = copy.deepcopy(dict(main(cluster).spec))
    spec["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "serviceAccount": "gco-service-account"}
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert behind.changes == ()
    spec["template"]["spec"]["dnsPolicy"] = "None"
    cluster.change(MAIN, spec=spec)
    (behind,) = upgrade(cluster, asked).outdated
    assert "spec.template.spec.dnsPolicy: is 'None', should be absent" in behind.changes


def test_a_deployment_with_the_newest_or_a_newer_version_is_not_behind() -> None:
    cluster, asked = SimulatedCluster(NEWER), endpoint()
    cluster.reconcile(asked)
    assert upgrade(cluster, asked).outdated == ()
    cluster.policy = OLDER
    assert upgrade(cluster, asked).outdated == ()


def test_an_upgrade_is_rolling_from_the_request_until_all_pods_are_updated() -> None:
    cluster, asked = made_by_version_1()
    ask(cluster, "2")
    assert (upgrade(cluster, asked).is_rolling, upgrade(cluster, asked).outdated) == (True, ())
    cluster.reconcile(asked)
    assert upgrade(cluster, asked).is_rolling
    cluster.roll_out()
    assert not upgrade(cluster, asked).is_rolling


def test_an_upgrade_that_would_not_take_effect_has_the_reason() -> None:
    cluster, asked = made_by_version_1()
    held = asked.model_copy(update={"hold": "until Friday"})
    assert upgrade(cluster, held).obstacle == "held: until Friday"
    assert upgrade(cluster, held).outdated[0].changes != ()
    broken = endpoint(spec={"port": 0})
    assert "spec.port: invalid value 0" in upgrade(cluster, broken).obstacle


def test_a_deployment_of_another_owner_is_never_behind() -> None:
    cluster, asked = made_by_version_1()
    cluster.change(MAIN, annotations={**main(cluster).annotations, "gco.io/table": "arn:another"})
    assert upgrade(cluster, asked).outdated == ()


def candidate(name: str, *, rolling: bool = False, obstacle: str = "") -> EndpointUpgrade:
    cluster, asked = made_by_version_1(endpoint(name))
    (behind,) = upgrade(cluster, asked).outdated
    return EndpointUpgrade(name, () if rolling else (behind,), is_rolling=rolling, obstacle=obstacle)


def test_upgrades_are_selected_by_name_and_those_rolling_count_towards_the_limit() -> None:
    every = [candidate("d"), candidate("b"), candidate("a", rolling=True), candidate("c"), EndpointUpgrade("e")]
    found = select(every, 2)
    assert [one.endpoint for one in found.selected] == ["b"]
    assert [one.endpoint for one in found.deferred] == ["c", "d"]
    assert found.rolling == ("a",)
    assert select(every, 1).selected == ()


def test_blocked_upgrades_do_not_count_towards_the_limit() -> None:
    found = select([candidate("a", obstacle="held: x"), candidate("b")], 1)
    assert [one.endpoint for one in found.selected] == ["b"]
    assert [one.endpoint for one in found.blocked] == ["a"]
