"""Check of the deletion guard: whether the table is still the one that the controller remembers."""

from collections.abc import AsyncIterator

from gco_stream.admin.doctor.findings import Finding, ok, warn
from gco_stream.admin.installation import connect
from gco_stream.aws.errors import AWSError
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.leaderelection.record import LeaseRef, annotations_of
from gco_stream.engine.deletion.table_identity import is_recreated
from gco_stream.settings import LEASE_NAME, Settings


async def check_removals(settings: Settings) -> AsyncIterator[Finding]:
    """Yields the finding about the table's identity; none if the table or the Lease cannot be read."""
    try:
        async with connect(settings) as installation:
            raw = await installation.client.request("GET", LeaseRef(settings.inference_namespace, LEASE_NAME).path)
            table_id = (await installation.table.describe()).table_id
    except (AWSError, ClusterError):
        # The checks of the table and the cluster report this, or no replica has been the leader yet.
        return
    if is_recreated(annotations_of(raw), table_id):
        yield warn(
            "removals",
            "the table was recreated since the controller started to use it; removals that no item requests are held",
            "restore the missing items, or run: gco-stream approve-deletes",
        )
    else:
        yield ok("removals", "the table is the one that the controller remembers")
