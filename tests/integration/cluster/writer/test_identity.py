"""Every write carries the UID and version of the object that it was planned for, and reaches no other object."""

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.objects import object_path, observe
from tests.integration.support.harness.field_managers import UNKNOWN, Cluster

pytestmark = pytest.mark.integration


async def test_every_write_to_a_recreated_object_is_rejected_and_updates_the_cache(
    cluster: Cluster,
) -> None:
    ours = await cluster.writer.create(cluster.deployment())
    theirs = await cluster.made_again(ours.ref, cluster.deployment())
    writes = {
        "apply": lambda: cluster.writer.apply(cluster.deployment(), ours.uid),
        "replicas": lambda: cluster.writer.apply_replicas(ours.ref, ours.uid, 5),
        "scale": lambda: cluster.writer.scale(ours.ref, ours.uid, 5),
        "annotate": lambda: cluster.writer.annotate(ours.ref, ours.uid, {"a": "b"}),
        "hand over": lambda: cluster.writer.upgrade_managed_fields(ours),
    }
    for what, write in writes.items():
        cluster.cache.put(await cluster.read(ours.ref))
        with pytest.raises(errors.UidMismatch):
            await write()
        assert (await cluster.read(ours.ref))["spec"]["replicas"] == 1, what
        held = cluster.held(ours.ref)
        assert held is not None
        assert held.uid == theirs.uid, what


async def test_an_apply_of_an_absent_object_by_uid_is_a_conflict_and_makes_nothing(cluster: Cluster) -> None:
    with pytest.raises(errors.Conflict):
        await cluster.writer.apply(cluster.deployment(), UNKNOWN)
    with pytest.raises(errors.NotFound):
        await cluster.read(cluster.ref())


async def test_deleting_by_a_uid_that_is_no_more_leaves_the_successor(cluster: Cluster) -> None:
    ours = await cluster.writer.create(cluster.deployment())
    theirs = await cluster.made_again(ours.ref, cluster.deployment())
    await cluster.writer.delete(ours.ref, ours.uid)
    assert (await cluster.read(ours.ref))["metadata"]["uid"] == theirs.uid
    held = cluster.held(ours.ref)
    assert held is not None
    assert held.uid == theirs.uid


async def test_deleting_at_another_version_is_a_conflict(cluster: Cluster) -> None:
    made = await cluster.writer.create(cluster.deployment())
    await cluster.edit(made.ref, {"metadata": {"annotations": {"edited": "yes"}}})
    with pytest.raises(errors.Conflict):
        await cluster.writer.delete(made.ref, made.uid, resource_version=made.resource_version)
    held = cluster.held(made.ref)
    assert held is not None
    assert held.annotations["edited"] == "yes"


async def test_creating_an_existing_object_is_a_conflict_and_updates_the_cache(cluster: Cluster) -> None:
    manifest = cluster.deployment()
    manifest["metadata"]["labels"] = {"whose": "theirs"}
    theirs = observe(await cluster.as_gco(manifest))
    with pytest.raises(errors.Conflict):
        await cluster.writer.create(cluster.deployment())
    held = cluster.held(theirs.ref)
    assert held is not None
    assert (held.uid, held.labels) == (theirs.uid, {"whose": "theirs"})


async def test_create_in_a_namespace_that_does_not_exist_is_not_found(cluster: Cluster) -> None:
    elsewhere = Cluster(cluster.client, f"{cluster.namespace}-absent")
    with pytest.raises(errors.NotFound, match="namespaces"):
        await elsewhere.writer.create(elsewhere.deployment())


async def test_annotating_a_missing_object_creates_nothing(cluster: Cluster) -> None:
    with pytest.raises(errors.NotFound):
        await cluster.writer.annotate(cluster.ref(), UNKNOWN, {"a": "1"})


async def test_the_second_manager_cannot_create(cluster: Cluster) -> None:
    with pytest.raises(errors.Conflict):
        await cluster.writer.apply_replicas(cluster.ref(), UNKNOWN, 1)


async def test_a_hand_over_based_on_an_older_version_is_a_conflict(cluster: Cluster) -> None:
    made = observe(await cluster.as_gco(cluster.deployment()))
    raw = await cluster.read(made.ref)
    await cluster.edit(made.ref, {"metadata": {"annotations": {"edited": "yes"}}})
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": made.uid},
        {"op": "replace", "path": "/metadata/managedFields", "value": raw["metadata"]["managedFields"]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]},
    ]
    with pytest.raises(errors.Conflict):
        await cluster.client.request(
            "PATCH", object_path(made.ref), body=patch, content_type="application/json-patch+json"
        )
