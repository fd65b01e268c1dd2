"""A namespace or a right may be removed and restored while the program runs; objects it cannot see stay untouched."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gco_stream.local.cluster_fixtures import create_namespace, delete_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model import wire
from tests.chaos.api_server.behind_proxy import program_behind
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.rights import RIGHTS, grant
from tests.support.items import item

pytestmark = pytest.mark.integration
Start = Callable[..., Program]
LEASES_ONLY = {right: verbs for right, verbs in RIGHTS.items() if "leases" in right}


@pytest.fixture
def other(kube: KubeApi, namespace: str) -> Iterator[str]:
    """A second namespace, without a Lease."""
    name = f"{namespace}-b"
    create_namespace(kube, name)
    yield name
    delete_namespace(kube, name)


def put_in(world: World, namespace: str, name: str) -> None:
    plain = item(name, spec={"gpu_count": 0}, namespace=namespace)
    world.table.client.put_item(TableName=world.table.name, Item=wire.encode(plain))


def test_a_recreated_namespace_is_populated_again(
    world: World, program: Start, unlimited_env: dict[str, str], other: str, tmp_path: Path
) -> None:
    kube = world.kube
    with program_behind(world, unlimited_env, program, tmp_path, ALLOWED_NAMESPACES=other) as one:
        names = [f"there-{number}" for number in range(4)]
        for name in names:
            put_in(world, other, name)
        one.put("here")
        one.until_in_desired_state("here")
        one.until(lambda: all(world.state(name) == "running" for name in names), "all endpoints are running")
        one.record_objects()
        delete_namespace(kube, other)
        one.until(lambda: all(world.state(name) != "running" for name in names), "the loss is reported")
        one.until(lambda: kube.find(path_of("Namespace", name=other)) is None, "the namespace is deleted")
        one.until(lambda: other in world.report(names[0]).get("error", ""), "the reason is reported")
        one.put("meanwhile")
        one.until_in_desired_state("meanwhile")
        create_namespace(kube, other)
        one.until(lambda: all(world.state(name) == "running" for name in names), "all endpoints are running again")
        one.until(lambda: all("error" not in world.report(name) for name in names), "no errors are reported")
        one.assert_none_was_replaced()
        one.assert_clean_end()


def test_revoked_and_restored_rights_leave_objects_unchanged(
    world: World,
    program: Start,
    control_plane: ControlPlane,
    controller_env: dict[str, str],
    other: str,
    tmp_path: Path,
) -> None:
    user = f"limited:{other}"
    for namespace in (world.namespace, other):
        grant(world.kube, namespace, user, RIGHTS)
    limited = {**controller_env, "KUBECONFIG": str(control_plane.kubeconfig_for(user, groups=()))}
    with program_behind(world, limited, program, tmp_path, ALLOWED_NAMESPACES=other) as one:
        names = [f"there-{number}" for number in range(4)]
        for name in names:
            put_in(world, other, name)
        one.put("here")
        one.until_in_desired_state("here")
        one.until(lambda: all(world.state(name) == "running" for name in names), "all endpoints are running")
        one.record_objects()
        stood = _uids(world, other)
        grant(world.kube, other, user, {})
        # Open watches continue until they end; new ones are rejected.
        one.proxy.drop_connections()
        one.until(lambda: not one.ready(), "the program is not ready")
        for name in names:
            world.update_spec(name, replicas=2)
        one.until(lambda: all(forbidden(world, name) for name in names), "the reason is reported")
        world.update_spec("here", replicas=2)
        one.until_in_desired_state("here")
        assert _uids(world, other) == stood
        grant(world.kube, other, user, RIGHTS)
        one.until(lambda: all(world.state(name) == "running" for name in names), "all endpoints are running again")
        one.until(lambda: {world.report(name)["replicas_ready"] for name in names} == {2}, "all replicas are ready")
        assert _uids(world, other) == stood
        one.assert_none_was_replaced()
        one.assert_clean_end()


def test_the_program_recovers_if_the_lease_namespace_is_recreated(
    world: World, program: Start, unlimited_env: dict[str, str], tmp_path: Path
) -> None:
    with program_behind(
        world,
        unlimited_env,
        program,
        tmp_path,
        LEASE_DURATION_SECONDS="10",
        LEASE_RENEW_DEADLINE_SECONDS="5",
        LEASE_RETRY_PERIOD_SECONDS="0.5",
    ) as one:
        one.put("chat")
        one.until_in_desired_state("chat")
        delete_namespace(world.kube, world.namespace)
        one.until(
            lambda: world.kube.find(path_of("Namespace", name=world.namespace)) is None, "the namespace is deleted"
        )
        one.until(lambda: not one.ready(), "the program is not ready")
        create_namespace(world.kube, world.namespace)
        one.until_in_desired_state("chat")
        one.assert_clean_end()


def forbidden(world: World, name: str) -> bool:
    return world.state(name) == "error" and "forbidden" in world.report(name)["error"]


def _uids(world: World, namespace: str) -> dict[str, str]:
    found = world.kube.list(path_of("Deployment", namespace), labels="gco.io/type=inference")
    return {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in found}
