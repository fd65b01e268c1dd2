"""A release on a real API server: install, upgrade, rollback and uninstall do not interrupt the endpoints."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gco_stream
from gco_stream.cluster.permissions import required_permissions
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.settings import LEASE_NAME
from tests.chart.helm import Helm, environment
from tests.chart.support.rights import granted
from tests.integration.chart.page import Page
from tests.integration.chart.release import NAME, Release
from tests.integration.support.harness.world import World
from tests.support.items import item


@contextmanager
def ready_all_the_while(release: Release) -> Iterator[list[int]]:
    """Records the number of ready replicas continuously while the block runs."""
    seen = [release.ready()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.append(release.ready())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def revisions(release: Release) -> list[str]:
    return [line.split("\t")[-1].strip() for line in release("history", NAME).splitlines()[1:]]


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled_and_always_has_its_candidates(
    release: Release, world: World, kube: KubeApi
) -> None:
    world.put(item(spec={"gpu_count": 0}))
    notes = release.install()
    assert f"deploys the endpoints of us-east-1 from the table {world.table.name}" in notes
    kube.wait_for(lambda: release.ready() == 2, what="both replicas are Ready")
    kube.wait_for(release.rolled_out, what="the first rollout is complete")
    leader = release.start().wait_working()
    leader.until(lambda: world.state("chat") == "running", "the endpoint runs")
    pods = world.pods("chat").keys()

    with ready_all_the_while(release) as ready:
        release(
            "upgrade",
            NAME,
            str(release.helm.chart),
            "--reset-then-reuse-values",
            "--set",
            "settings.RECONCILE_WORKERS=8",
        )
        kube.wait_for(release.rolled_out, what="the upgrade is rolled out")
    assert min(ready) >= 2
    (container,) = release.deployment()["spec"]["template"]["spec"]["containers"]
    variables = environment(container)
    assert variables["RECONCILE_WORKERS"] == "8"
    assert variables["INFERENCE_NAMESPACE"] == world.namespace

    with ready_all_the_while(release) as ready:
        release("rollback", NAME, "1")
        kube.wait_for(release.rolled_out, what="the rollback is rolled out")
    assert min(ready) >= 2
    (container,) = release.deployment()["spec"]["template"]["spec"]["containers"]
    assert "RECONCILE_WORKERS" not in environment(container)
    assert len(revisions(release)) == 3

    release("uninstall", NAME)
    assert leader.stop() == 0
    kube.wait_for(lambda: kube.find(release.path()) is None, what="the Deployment is gone")
    for kind in ("ServiceAccount", "Service"):
        assert kube.find(path_of(kind, release.system, NAME)) is None
    assert kube.find(path_of("Role", world.namespace, NAME)) is None
    assert {"Deployment/chat", "Service/chat", "Ingress/inference-chat"} == world.objects().keys()
    assert world.pods("chat").keys() == pods


def test_each_allowed_namespace_gets_its_role_and_loses_it_with_the_setting(
    release: Release, world: World, kube: KubeApi, system: str
) -> None:
    def live() -> set[str]:
        roles = {
            namespace: found
            for namespace in (world.namespace, system)
            if (found := kube.find(path_of("Role", namespace, NAME)))
        }
        return set(map(str, granted({name: {**role, "kind": "Role"} for name, role in roles.items()})))

    release.install(settings={"ALLOWED_NAMESPACES": [system]})
    both = (world.namespace, system)
    assert live() == set(map(str, required_permissions(both, world.namespace, LEASE_NAME)))
    release("upgrade", NAME, str(release.helm.chart), "--reuse-values", "--set-json", "settings.ALLOWED_NAMESPACES=[]")
    assert live() == set(map(str, required_permissions(both[:1], world.namespace, LEASE_NAME)))


def test_the_commands_of_the_charts_page_install_upgrade_and_remove_it(
    helm: Helm, kube: KubeApi, system: str, tmp_path: Path
) -> None:
    role = "arn:aws:iam::111122223333:role/gco-stream"
    page = Page(
        helm.chart / "README.md",
        names={"gco-system": system, "./helm/gco-stream": str(helm.chart), "REGISTRY": "r.example", "ROLE_ARN": role},
        programs={"helm": helm.binary},
        environment=helm.environment,
        folder=tmp_path,
    )
    page.walk("", until="helm test")
    installed = kube.get(path_of("Deployment", system, NAME))
    account = kube.get(path_of("ServiceAccount", system, NAME))
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == role
    (container,) = installed["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"r.example/gco-stream:{gco_stream.__version__}"
    assert environment(container)["CLUSTER_NAME"] == "gco-us-east-1"
    page.walk("Upgrade, rollback, removal", until="helm uninstall")
    assert (
        kube.get(path_of("Deployment", system, NAME))["metadata"]["generation"] == installed["metadata"]["generation"]
    )
    page.walk("Upgrade, rollback, removal")
    kube.wait_for(lambda: kube.find(path_of("Deployment", system, NAME)) is None, what="the Deployment is gone")
