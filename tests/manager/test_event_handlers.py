"""Which keys an event puts into the queue."""

from types import SimpleNamespace

from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.workqueue.queue import WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.manager.event_handlers import EventHandlers
from gco_stream.model import wire
from tests.support.items import REGION, item
from tests.support.observers import observers


async def test_a_change_in_the_cluster_also_queues_the_endpoints_that_wait_for_the_ingress_path() -> None:
    items, queue = ItemCache(REGION), WorkQueue(lambda: 0.0)
    guard = SimpleNamespace(held=())
    handlers = EventHandlers(items, queue, guard, SimpleNamespace(), observers())  # type: ignore[arg-type]  # fakes with only the attributes that are read
    items.put(wire.encode(item("second", ingress_path="/v1")))
    items.paths.set_owner("second", "first")
    # The item of the owner may be gone already when its Ingress goes.
    handlers.on_cluster_change(frozenset({"first", "other"}))
    work = await queue.get()
    assert work is not None
    assert (work.key, work.triggers) == ("second", (Trigger.INGRESS_PATH,))
    queue.done(work.key)
    assert queue.idle
