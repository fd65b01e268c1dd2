"""A deletion by UID does not start to delete another object of the same name."""

import pytest

from tests.integration.support.harness.field_managers import Cluster

pytestmark = pytest.mark.integration


async def test_the_deletion_of_a_predecessor_does_not_begin_to_delete_the_successor(cluster: Cluster) -> None:
    ours = await cluster.writer.create(cluster.deployment())
    theirs = await cluster.made_again(ours.ref, cluster.deployment())
    await cluster.writer.delete(ours.ref, ours.uid)
    metadata = (await cluster.read(ours.ref))["metadata"]
    assert metadata["uid"] == theirs.uid
    # A Deployment that is being deleted remains until its pods are gone.
    assert "deletionTimestamp" not in metadata
