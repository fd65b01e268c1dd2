"""The chart's service account can do all of the controller's work, and has no other permissions.

The API server's audit log shows the verbs that the controller used, and the server itself the ones that are granted.
Both match the chart's Role.
"""

import asyncio
from functools import partial

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.events.recorder import EventRecorder
from gco_stream.cluster.permissions import Permission, required_permissions
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.settings import LEASE_NAME
from tests.integration.chart.pod import WRITES
from tests.integration.chart.release import Release
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import is_ready
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import create_as_gco
from tests.integration.support.pods import tell_pods
from tests.support.items import item, parity_item

CANARY = {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}
SCALING = {"enabled": True, "min_replicas": 1, "max_replicas": 3}
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
# Every authenticated user may ask the server about its own permissions.
EVERYBODYS = {"authorization.k8s.io", "authentication.k8s.io"}


def needs(world: World) -> set[Permission]:
    return set(required_permissions((world.namespace,), world.namespace, LEASE_NAME))


def test_the_service_account_can_do_all_work_and_uses_every_permission(
    release: Release, control_plane: ControlPlane, world: World
) -> None:
    adopted, scaled = create_as_gco(world, "autoscaled"), create_as_gco(world, "cpu-only")
    fewer = parity_item(scaled)
    fewer["spec"]["replicas"] = 3
    world.put(fewer)
    release.install(settings={"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": 1})
    mark = control_plane.audit.mark()
    leader = release.start().wait_working()
    standby = release.start()
    standby.until(lambda: is_ready(standby), "the standby is Ready")
    lives(world, leader, adopted, scaled)

    assert leader.stop() == 0
    standby.wait_working()
    assert standby.stop() == 0
    asyncio.run(repeat_an_event(release))
    assert WRITES not in leader.log.read_text() + standby.log.read_text()
    calls = [one for one in control_plane.audit.entries(mark) if one.user == release.user]
    assert [one for one in calls if one.status == 403] == []
    used: set[Permission] = set()
    groups = {(one.resource, one.subresource): one.group for one in needs(world)}
    for one in calls:
        if not one.resource:
            continue
        name = one.name if one.resource == "leases" and one.verb != "create" else ""
        permission = partial(
            Permission, one.namespace, groups[one.resource, one.subresource], one.resource, subresource=one.subresource
        )
        used.add(permission(verb=one.verb, name=name))
        if one.verb == "patch" and one.status == 201:
            # For an apply that creates the object, the server checks both verbs.
            used.add(permission(verb="create", name=name))
    assert sorted(map(str, used ^ needs(world))) == []


def lives(world: World, leader: Program, *adopted: str) -> None:
    """Takes endpoints through adoption, a canary, autoscaling, scaling, withdrawal, page views, stop and deletion."""
    world.put(item("whole", spec={"gpu_count": 0, "autoscaling": SCALING, "canary": CANARY}))
    world.put(item("ill", spec={"gpu_count": 0}))
    for name in (*adopted, "whole", "ill"):
        leader.until(lambda name=name: world.state(name) == "running", f"{name} is running")
    leader.until(lambda: world.replicas(adopted[1]) == 3, "an adopted endpoint is scaled")
    tell_pods(world, "false", "ill")
    leader.until(
        lambda: world.get("Ingress", "inference-ill") is None, "the Ingress of the unready endpoint is withdrawn"
    )
    leader.until(lambda: world.report("ill").get("reason") == "IngressWithdrawn", "the withdrawal is reported")
    # The page of an endpoint lists its Events.
    assert leader.http("/endpoints/whole")[0] == 200
    world.update_spec("whole", canary=None, autoscaling=None, replicas=2)
    leader.until(lambda: "Deployment/whole-canary" not in world.objects(), "the canary is gone")
    leader.until(lambda: world.replicas("whole") == 2, "the endpoint is scaled")
    world.set_desired_state("whole", "stopped")
    leader.until(lambda: world.state("whole") == "stopped", "stopped is reported")
    for name in (*adopted, "whole", "ill"):
        world.set_desired_state(name, "deleted")
    for name in (*adopted, "whole", "ill"):
        leader.until(lambda name=name: world.item(name) is None, f"{name} is gone")


async def repeat_an_event(release: Release) -> None:
    """Emits the same event twice, 15 minutes apart by the recorder's clock; the second one updates the stored Event.

    The last event is sent only after the update has been answered, so waiting for it ensures that the update is in the
    audit log.
    """
    namespace, now = release.world.namespace, [0.0]
    events = path_of("Event", namespace)

    def told(reason: str, repeated: bool) -> bool:
        stored = (event for event in release.plane.kube.list(events) if event["reason"] == reason)
        return any(("series" in event) is repeated for event in stored)

    async with KubeClient.connect(kubeconfig=str(release.kubeconfig())) as client:
        recorder = EventRecorder(client, instance="test", clock=lambda: now[0])
        writing = asyncio.create_task(recorder.run())
        for reason, repeated in (("Told", False), ("Told", True), ("ToldLast", False)):
            recorder.emit(ObjectRef(Kind.DEPLOYMENT, namespace, "whole"), "", "Normal", reason, "something")
            await release.plane.kube.until(partial(told, reason, repeated), what="the Event is stored")
            now[0] += 900
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_nothing_but_the_role_is_allowed_to_the_service_account(release: Release, world: World) -> None:
    await asyncio.to_thread(release.install)
    async with KubeClient.connect(kubeconfig=str(release.kubeconfig())) as client:
        allowed = {namespace: await rules(client, namespace) for namespace in (world.namespace, release.system)}
    assert allowed[release.system] == set()
    assert sorted(map(str, allowed[world.namespace] ^ needs(world))) == []


async def test_the_programs_of_the_other_tests_have_the_same_rights_and_no_others(
    world: World, controller_env: dict[str, str]
) -> None:
    async with KubeClient.connect(kubeconfig=controller_env["KUBECONFIG"]) as client:
        assert sorted(map(str, await rules(client, world.namespace) ^ needs(world))) == []
        assert await rules(client, "default") == set()


async def rules(client: KubeClient, namespace: str) -> set[Permission]:
    """Returns what the server allows this client in a namespace, except what every authenticated user may do."""
    answer = await client.request("POST", RULES, body={"spec": {"namespace": namespace}})
    return {
        Permission(namespace, group, resource.partition("/")[0], verb, resource.partition("/")[2], name)
        for rule in answer["status"]["resourceRules"]
        for group in rule["apiGroups"]
        if group not in EVERYBODYS
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
