"""Loads a fleet that is already in sync: its items, objects and statuses."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench import bare
from bench.accepted import writes
from bench.items import served_item
from bench.place import Place, control_plane

_AT_ONCE = 16


class Fleets:
    """Loads fleets, about 100 endpoints per second, each on a control plane without controllers.

    Keeps the last fleet, because the next benchmark may need the same size. Call `close` at the end.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, Place] | None = None
        self._stack = ExitStack()

    def of(self, count: int) -> Place:
        """A place with `count` endpoints that are running according to the table and the cluster."""
        if self._kept is None or self._kept[0] != count:
            self.close()
            place = Place(self._stack.enter_context(control_plane(controllers=False)))
            serve(place, count)
            self._kept = (count, place)
        return self._kept[1]

    def close(self) -> None:
        """Stops the control plane, if one is running."""
        self._kept = None
        self._stack.close()


def serve(place: Place, count: int) -> None:
    """Loads `count` running endpoints into the table and cluster of a new place without controllers."""
    items = [served_item(number, place.namespace) for number in range(count)]
    place.fill(items)
    bare.send(place, (bare.running(one, place) for one in items), at_once=_AT_ONCE)


@contextmanager
def untouched(place: Place, *users: str) -> Iterator[None]:
    """Raises RuntimeError if one of the users writes an object, or anyone writes an item, while the block runs."""
    mark, tails = place.plane.audit.mark(), place.tails()
    yield
    audit = place.plane.audit.path
    objects = [f"{write.resource}/{write.name}" for user in users for write in writes(audit, mark, user)]
    items = place.records(tails)
    if objects or items:
        raise RuntimeError(
            f"the fleet was not in sync: {len(objects)} writes to objects: {objects[:5]}; "
            f"{len(items)} writes to items: {items[:1]}"
        )
