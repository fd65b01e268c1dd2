"""Runs docs/migration.md step by step, from GCO's monitor to gco-stream and back, and checks every write."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi
from tests.chart.helm import Helm, laid_over
from tests.integration.chart.gco_monitor import CYCLE, GcoMonitor
from tests.integration.chart.page import Page
from tests.integration.chart.release import Release
from tests.integration.support.harness.states import is_ready
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import create_as_gco, replica_sets

PAGE = Path(__file__).parents[3] / "docs" / "migration.md"
RUNNING = ("autoscaled", "cpu-only", "minimal", "vllm-llama", "with-canary")
STOPPED = "resting"
ALL = (*RUNNING, STOPPED)
UNUSED_ROUTE = f"Ingress/inference-{STOPPED}"
READS = {"get", "list", "watch"}


def missing(world: World) -> list[str]:
    """Returns what is not adopted yet: Deployments without a template version, and the stopped endpoint's Ingress."""
    objects = world.objects()
    marks = {case: objects[f"Deployment/{case}"]["metadata"].get("annotations", {}) for case in RUNNING}
    unmarked = [case for case in RUNNING if marks[case].get("gco.io/template-version") != "0"]
    return unmarked + [UNUSED_ROUTE] * (UNUSED_ROUTE in objects)


@pytest.fixture
def monitor_user(namespace: str) -> str:
    return f"inference-monitor:{namespace}"


@pytest.fixture
def monitor(control_plane: ControlPlane, world: World, system: str, monitor_user: str) -> Iterator[GcoMonitor]:
    with KubeApi.from_kubeconfig(control_plane.kubeconfig_for(monitor_user)) as kube:
        one = GcoMonitor(kube, world, system)
        one.install()
        yield one
        one.close()


@pytest.fixture
def page(
    release: Release, helm: Helm, kubectl_binary: Path, controller_env: dict[str, str], tmp_path: Path, system: str
) -> Page:
    page = Page(
        PAGE,
        names={
            "gco-inference": release.world.namespace,
            "gco-system": system,
            "values.yaml": str(tmp_path / "values.yaml"),
            "./helm/gco-stream": str(helm.chart),
        },
        programs={"helm": helm.binary, "kubectl": kubectl_binary},
        # A person runs these commands, not the controller.
        environment=controller_env | helm.environment,
        folder=tmp_path,
    )
    # The page's values, with this test's table and the monitor's cycle.
    release.values = laid_over(page.values(), release.values)
    del release.values["settings"]["DYNAMODB_REGION"]
    release.file(settings={"RECONCILE_INTERVAL_SECONDS": CYCLE})
    return page


def test_the_migration_and_its_way_back_restart_nothing(
    page: Page,
    monitor: GcoMonitor,
    monitor_user: str,
    release: Release,
    world: World,
    kube: KubeApi,
    control_plane: ControlPlane,
) -> None:
    world.table.client.update_table(TableName=world.table.name, StreamSpecification={"StreamEnabled": False})
    for case in RUNNING:
        create_as_gco(world, case)
    create_as_gco(world, "cpu-only", STOPPED)
    world.set_desired_state(STOPPED, "stopped")
    kube.wait_for(monitor.leads, what="the monitor leads")
    kube.wait_for(
        lambda: all(world.state(case) == "running" for case in RUNNING), what="the monitor reports all as running"
    )
    kube.wait_for(
        lambda: world.state(STOPPED) == "stopped" and not world.pods(STOPPED), what="the monitor reports one as stopped"
    )
    mark = control_plane.audit.mark()
    pods = {case: world.pods(case).keys() for case in RUNNING}
    sets = {case: replica_sets(world, case) for case in RUNNING}
    # An endpoint without pods needs no route; its Ingress is the only object that is deleted.
    objects = {name: obj["metadata"]["uid"] for name, obj in world.objects().items() if name != UNUSED_ROUTE}
    assert all(pods[case] for case in RUNNING)

    told = page.walk("Look first")
    assert "which is not gco-stream" in told
    page.walk("Install it beside the monitor")
    replicas = [release.start(), release.start()]
    for one in replicas:
        one.until(lambda one=one: is_ready(one), "the standby is ready")
    assert monitor.leads()

    page.walk("Hand over", until="kubectl --namespace gco-inference get")
    kube.wait_for(lambda: missing(world) == [], what="the new leader has adopted all objects")
    assert "!!" not in page.walk("Hand over")
    told = page.walk("Afterwards")
    assert told.endswith("1 would be upgraded, 0 still rolling out, 5 left\n")
    world.user.scale(world.item_of("cpu-only"), 2)
    kube.wait_for(lambda: world.report("cpu-only").get("replicas_ready") == 2, what="a change is applied")
    assert "epoch" in world.report("cpu-only")

    page.walk("The way back", until="kubectl")
    for one in replicas:
        assert one.stop() == 0
    page.walk("The way back")
    kube.wait_for(monitor.leads, what="the monitor leads again")
    world.user.scale(world.item_of("cpu-only"), 3)
    kube.wait_for(lambda: len(world.pods("cpu-only")) == 3, what="the monitor applies a change")
    kube.wait_for(
        lambda: all("epoch" not in world.report(name) for name in ALL), what="the monitor has reported all endpoints"
    )
    kube.wait_for(lambda: all(world.state(case) == "running" for case in RUNNING), what="all endpoints run")

    assert page.left == []
    assert [case for case in RUNNING if not pods[case] <= world.pods(case).keys()] == []
    assert {case: replica_sets(world, case) for case in RUNNING} == sets
    now = {name: obj["metadata"]["uid"] for name, obj in world.objects().items()}
    assert {name: now.get(name) for name in objects} == objects
    acts = [
        call
        for call in control_plane.audit.calls(mark, namespace=world.namespace)
        if call.user in {monitor_user, release.user} and call.verb not in READS
    ]
    deleted = [f"{call.resource}/{call.name}" for call in acts if call.verb.startswith("delete")]
    assert deleted == [f"ingresses/inference-{STOPPED}"]
    assert [user for user, _ in groupby(call.user for call in acts)] == [monitor_user, release.user, monitor_user]
