"""A fleet that everybody has long been serving: items, objects and statuses as they stand when all is in sync."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench import bare
from bench.accepted import writes
from bench.items import served_item
from bench.place import Place, control_plane

_AT_ONCE = 16


class Fleets:
    """Loads fleets, some 100 endpoints a second, each on a control plane without controllers.

    The last one is kept, since the next measurement may want as large a one. `close` it.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, Place] | None = None
        self._stack = ExitStack()

    def of(self, count: int) -> Place:
        """A place where so many endpoints run, as far as table and cluster tell."""
        if self._kept is None or self._kept[0] != count:
            self.close()
            place = Place(self._stack.enter_context(control_plane(controllers=False)))
            serve(place, count)
            self._kept = (count, place)
        return self._kept[1]

    def close(self) -> None:
        """Stops the control plane, if there is one."""
        self._kept = None
        self._stack.close()


def serve(place: Place, count: int) -> None:
    """Makes so many endpoints run in a fresh place without controllers, as far as table and cluster tell."""
    items = [served_item(number, place.namespace) for number in range(count)]
    place.fill(items)
    bare.send(place, (bare.running(one, place) for one in items), at_once=_AT_ONCE)


@contextmanager
def untouched(place: Place, *users: str) -> Iterator[None]:
    """Raises RuntimeError if, until it is left, one of the users writes any object, or anybody an item."""
    mark, tails = place.plane.audit.mark(), place.tails()
    yield
    audit = place.plane.audit.path
    objects = [f"{write.resource}/{write.name}" for user in users for write in writes(audit, mark, user)]
    items = place.records(tails)
    if objects or items:
        raise RuntimeError(f"the fleet was not in sync: written were {objects[:5]} ({len(objects)}), {items[:1]}")
