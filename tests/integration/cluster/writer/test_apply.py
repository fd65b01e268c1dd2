"""The effect of a server-side apply: which fields it restores, keeps, rewrites and rejects."""

from typing import Any

import pytest

from gco_stream.cluster.api import errors
from gco_stream.model import names
from gco_stream.model.objects import Kind
from tests.integration.support.harness.field_managers import UNKNOWN, Cluster

pytestmark = pytest.mark.integration


async def test_a_created_object_is_in_the_cache_immediately(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    assert made.ownership.applied
    assert not made.ownership.stamped
    assert cluster.held(made.ref) == made


async def test_the_next_apply_reverts_an_edit_of_our_fields(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    edited = await cluster.edit(made.ref, {"spec": {"replicas": 9}, "metadata": {"labels": {"theirs": "stays"}}})
    assert edited["spec"]["replicas"] == 9
    applied = await cluster.writer.apply(cluster.deployment(), made.uid)
    assert applied.spec["replicas"] == 1
    assert applied.labels["theirs"] == "stays"


async def test_another_order_of_env_is_another_template(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    env = [{"name": "DROP", "value": "2"}, {"name": "KEEP", "value": "1"}]
    applied = await cluster.writer.apply(cluster.deployment(env=env), made.uid)
    assert applied.generation == made.generation + 1


async def test_quantities_come_back_rewritten(cluster: Cluster) -> None:
    requests = {"cpu": "1000m", "memory": "1024Mi"}
    made = await cluster.writer.create(cluster.deployment(resources={"requests": requests}))
    container = made.spec["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


async def test_a_stray_port_is_removed_by_replacing_the_field(cluster: Cluster) -> None:
    ref = cluster.ref(Kind.SERVICE)
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": names.labels("llm")},
        "spec": {"ports": ports, "selector": {"app": "llm"}},
    }
    made = await cluster.writer.create(manifest)
    stray = {"name": "stray", "port": 81, "protocol": "TCP", "targetPort": 81}
    await cluster.edit(ref, {"spec": {"ports": [*ports, stray]}})
    assert len((await cluster.writer.apply(manifest, made.uid)).spec["ports"]) == 2
    replaced = await cluster.writer.replace(ref, made.uid, "/spec/ports", ports)
    assert replaced.spec["ports"] == ports
    with pytest.raises(errors.UidMismatch):
        await cluster.writer.replace(ref, UNKNOWN, "/spec/ports", [])


async def test_an_apply_without_a_template_is_rejected_permanently(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    made = await cluster.writer.create(manifest)
    del manifest["spec"]["template"]
    with pytest.raises(errors.Rejected) as caught:
        await cluster.writer.apply(manifest, made.uid)
    assert caught.value.status == 422


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(
    ("container", "status", "message"),
    [
        ({"ports": "80"}, 500, "failed to create typed patch object"),
        ({"resources": {"requests": {"cpu": "lots"}}}, 500, "failed to convert new object"),
        ({"args": ["x" * 1_700_000]}, 500, "request is too large"),
        ({"args": ["x" * 3_500_000]}, 413, "too large"),
        ({"image": ""}, 422, "image"),
    ],
)
async def test_permanent_errors_are_rejections_with_the_servers_message(
    cluster: Cluster, container: dict[str, Any], status: int, message: str
) -> None:
    with pytest.raises(errors.Rejected, match=message) as caught:
        await cluster.writer.create(cluster.deployment(**container))
    assert caught.value.status == status
