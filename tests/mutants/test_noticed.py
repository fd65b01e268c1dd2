"""What no other test noticed when it was broken."""

import asyncio

import pytest

from gco_stream.cluster.collection import Collection
from gco_stream.engine.staff import Staff, most_at_once
from gco_stream.model.objects import Kind, ObjectRef
from tests.cluster.samples import raw


async def nothing(_: ObjectRef) -> None:
    """The server has no such object."""


async def test_of_the_uids_that_were_deleted_only_the_last_thousands_are_remembered() -> None:
    collection = Collection(Kind.DEPLOYMENT, "gco-inference", nothing, lambda _: None)
    for number in range(5000):
        collection.forget("llm", f"u{number}")
    await collection.event("ADDED", raw(uid="u4999"))
    assert collection.get("llm") is None
    await collection.event("ADDED", raw(uid="u0"))
    assert collection.get("llm") is not None


@pytest.mark.looptime
async def test_however_long_all_wait_there_are_no_more_stand_ins_than_the_bound() -> None:
    begun, over = [], asyncio.Event()

    async def work(staff: Staff) -> None:
        with staff.at_work():
            begun.append(staff)
            await over.wait()

    async with asyncio.TaskGroup() as group:
        Staff(group, 2, work, patience=1)
        await asyncio.sleep(100)
        assert len(begun) == most_at_once(2)
        over.set()
