"""The evidence that an item is gone: what counts, what does not, and what resets it."""

import asyncio
import random
from dataclasses import replace

import pytest

from gco_stream.engine.deletion.orphan_tracker import OrphanEvidence, OrphanTracker, synced_objects
from gco_stream.model.objects import Kind, Ownership
from tests.engine.support.orphans import Cluster, scan
from tests.support.simulated_cluster import NAMESPACE, POLICY

pytestmark = pytest.mark.slow


def orphans(cluster: Cluster) -> OrphanTracker:
    return OrphanTracker(cluster, POLICY)  # type: ignore[arg-type]  # a fake with only the methods that are called


async def test_two_consecutive_complete_scans_are_proof_and_one_is_not() -> None:
    one = orphans(Cluster("chat", "gone"))
    assert await scan(one, "chat") == {"gone"}
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT
    assert await scan(one, "chat") == {"gone"}
    assert one.evidence("gone") is OrphanEvidence.PROVEN
    assert one.evidence("chat") is OrphanEvidence.INSUFFICIENT


async def test_a_stream_record_of_the_removal_counts_as_one_scan() -> None:
    one = orphans(Cluster("chat", "gone"))
    assert one.item_removed("gone")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.PROVEN


async def test_an_item_that_is_seen_resets_the_evidence() -> None:
    one = orphans(Cluster("chat", "gone"))
    await scan(one, "chat")
    await scan(one, "chat", "gone")
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.PROVEN
    one.item_seen("gone")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT


async def test_an_interrupted_scan_does_not_count() -> None:
    one = orphans(Cluster("chat", "gone"))
    for _ in range(5):
        one.scan_started()
        one.item_seen("chat")
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT
    one.scan_started()
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.PROVEN


async def test_an_empty_table_proves_nothing_even_after_many_scans() -> None:
    one = orphans(Cluster("chat", "gone"))
    for _ in range(3):
        assert await scan(one) == {"chat", "gone"}
        assert one.evidence("gone") is OrphanEvidence.TABLE_EMPTY
    one.item_removed("gone")
    await scan(one)
    assert one.evidence("gone") is OrphanEvidence.TABLE_EMPTY


async def test_a_table_that_has_an_item_again_is_no_longer_empty() -> None:
    one = orphans(Cluster("chat", "gone"))
    await scan(one)
    one.item_seen("chat")
    one.item_removed("gone")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.PROVEN


async def test_evidence_from_before_an_empty_table_does_not_count_afterwards() -> None:
    one = orphans(Cluster("chat", "gone"))
    await scan(one, "chat")
    one.item_removed("gone")
    assert one.evidence("gone") is OrphanEvidence.PROVEN
    await scan(one)
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT


async def test_a_page_read_before_the_removal_does_not_undo_it() -> None:
    one = orphans(Cluster("chat", "gone"))
    one.scan_started()
    one.item_seen("gone")
    one.item_removed("gone")
    await one.scan_ended({"chat", "gone"})
    await scan(one, "chat")
    assert one.evidence("gone") is OrphanEvidence.PROVEN


async def test_a_removal_and_the_scan_during_it_are_one_piece_of_evidence() -> None:
    one = orphans(Cluster("chat", "gone"))
    one.scan_started()
    one.item_removed("gone")
    await one.scan_ended({"chat"})
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT


async def test_removals_without_live_objects_are_not_kept() -> None:
    one = orphans(Cluster("chat"))
    for number in range(1000):
        assert not one.item_removed(f"elsewhere-{number}")
    assert one.names == frozenset()


async def test_nothing_is_kept_once_the_objects_are_gone() -> None:
    cluster = Cluster("chat", "gone", "back")
    one = orphans(cluster)
    await scan(one, "chat")
    assert one.names == {"gone", "back"}
    cluster.forget("gone")
    await scan(one, "chat", "back")
    assert one.names == frozenset()


@pytest.mark.parametrize("whose", ["a clone", "another table's", "nobody's"])
async def test_objects_that_may_not_be_removed_are_no_orphans(whose: str) -> None:
    cluster = Cluster("gone")
    for ref, obj in cluster.objects.items():
        changed = {
            "a clone": replace(obj, ownership=Ownership()),
            "another table's": replace(obj, annotations={**obj.annotations, "gco.io/table": "arn:other"}),
            "nobody's": replace(obj, annotations={}),
        }[whose]
        cluster.objects[ref] = changed
    one = orphans(cluster)
    assert not one.item_removed("gone")
    assert await scan(one, "chat") == frozenset()


async def test_objects_in_an_unreadable_namespace_are_not_evaluated() -> None:
    cluster = Cluster("gone")
    cluster.unsynced = {NAMESPACE: "watch refused"}
    one = orphans(cluster)
    assert await scan(one, "chat") == frozenset()
    assert synced_objects(cluster, "gone").get(Kind.DEPLOYMENT, NAMESPACE, "gone") is None  # type: ignore[arg-type]  # a fake with only the methods that are called
    cluster.unsynced = {}
    assert await scan(one, "chat") == {"gone"}
    assert one.evidence("gone") is OrphanEvidence.INSUFFICIENT


async def test_a_wiped_table_of_thousands_does_not_block_the_event_loop() -> None:
    cluster = Cluster("chat")
    first = dict(cluster.objects)
    for number in range(300):
        for ref, obj in first.items():
            name = ref.name.replace("chat", f"e{number}")
            notes = {**obj.annotations, "gco.io/endpoint": f"e{number}"}
            cluster.objects[replace(ref, name=name)] = replace(obj, ref=replace(ref, name=name), annotations=notes)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    one = orphans(cluster)
    task = asyncio.create_task(count())
    assert len(await scan(one, "chat")) == 300
    task.cancel()
    assert turns >= 5


async def test_an_existing_item_is_never_proven_gone() -> None:
    rng = random.Random(7)
    for _ in range(300):
        one = orphans(Cluster("a", "b", "c"))
        table = {"a", "b", "c"}
        lacks: dict[str, int] = dict.fromkeys(table, 0)
        for _ in range(20):
            name = rng.choice(sorted(lacks))
            match rng.randrange(4):
                case 0 if name in table:
                    table.discard(name)
                    lacks[name] = 1
                    one.item_removed(name)
                case 0:
                    table.add(name)
                    lacks[name] = 0
                    one.item_seen(name)
                case 1:
                    one.scan_started()
                case _:
                    await scan(one, *table)
                    lacks = {other: 0 if other in table or not table else n + 1 for other, n in lacks.items()}
            for other, times in lacks.items():
                proven = one.evidence(other) is OrphanEvidence.PROVEN
                assert proven <= (other not in table)
                if one.evidence(other) is not OrphanEvidence.TABLE_EMPTY:
                    assert proven == (times >= 2), (other, table, lacks)
