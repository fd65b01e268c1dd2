"""All objects of one kind in one namespace, as records, and the rules by which news of them is believed.

News comes from three sides: the list, the watch, and the answers to our own writes. Versions say which of two is newer;
a new list is the truth (also when the server's versions went back) but for what was written while it was being read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from gco_stream.cluster.api.objects import checked, is_applied_by_us, is_selected, observe
from gco_stream.cluster.cache import packed_object as compact
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject

# Deleted uids that are remembered: late news of them must not bring them back. More never die between two events.
_MAX_TOMBSTONES: Final = 4096
_MAX_VERSION: Final = 2**64
# Objects taken in before the loop gets its turn.
_BATCH: Final = 50


class Store:
    """The objects of a kind in a namespace; a sink of its watch.

    `fetch` reads one object (None: there is none). `report` takes the names of endpoints that may need a new plan.
    """

    def __init__(
        self,
        kind: Kind,
        namespace: str,
        fetch: Callable[[ObjectRef], Awaitable[JsonObject | None]],
        report: Callable[[frozenset[str]], None],
    ) -> None:
        self._kind = kind
        self._namespace = namespace
        self._fetch = fetch
        self._report = report
        self._records: dict[str, bytes] = {}
        self._tombstones: dict[str, int] = {}
        # Objects that the watch does not select but that are of interest: nothing tells us of their changes.
        self._unselected: set[str] = set()
        self._listed: dict[str, bytes] | None = None
        self._written: set[str] = set()
        self._list_version = -1

    def __len__(self) -> int:
        return len(self._records)

    def ref(self, name: str) -> ObjectRef:
        """The reference of an object of this collection."""
        return ObjectRef(self._kind, self._namespace, name)

    def get(self, name: str) -> ObservedObject | None:
        """The object of that name."""
        record = self._records.get(name)
        return None if record is None else compact.unpack(self.ref(name), record)

    def version(self, name: str) -> int | None:
        """The resourceVersion of the object of that name."""
        record = self._records.get(name)
        return None if record is None else compact.version_of(record)

    def endpoints(self) -> Iterator[tuple[str, str | None]]:
        """Every object's name and its gco.io/endpoint."""
        for name, record in self._records.items():
            yield name, compact.endpoint_of(self.ref(name), record)

    def put(self, raw: JsonObject) -> ObservedObject:
        """Take in the answer to a read or a write of ours; it is not reported, since whoever asked knows."""
        observed = observe(raw, self._kind)
        unknown = observed.ref.name not in self._records and is_selected(observed)
        if not unknown or int(observed.resource_version) > self._list_version:
            self._put(observed)
        # What is older than the list and not in it has gone since: the answer comes late, and no watch will tell of it.
        return observed

    def forget(self, name: str, uid: str) -> None:
        """The object with this uid is gone; whatever is still heard of it is late."""
        self._entomb(uid, _MAX_VERSION)
        self._mark_written(name)
        stored = self._records.get(name)
        if stored is not None and compact.uid_of(stored) == uid:
            self._remove(name)

    async def refresh(self, name: str) -> ObservedObject | None:
        """Read the object from the server and report what the cache did not have. Raises ClusterError."""
        stored = self._records.get(name)
        raw = await self._fetch(self.ref(name))
        if raw is None:
            if stored is not None and self._records.get(name) is stored:
                self._on_deleted(name, stored, _MAX_VERSION)
            return None
        observed = observe(raw, self._kind)
        if self._put(observed):
            self._on_changed(name, stored, observed)
        return observed

    def begin_list(self) -> None:
        """A list begins: what died before it cannot be in it."""
        self._listed = {}
        self._written = set()
        self._tombstones.clear()

    async def add_page(self, items: list[JsonObject]) -> None:
        """Items of the list."""
        listed = self._listed if self._listed is not None else {}
        while items:
            for item in items[-_BATCH:]:
                observed = observe(item, self._kind)
                record = compact.pack(observed)
                stored = self._records.get(observed.ref.name)
                # The same bytes twice would be held until the list is complete.
                listed[observed.ref.name] = stored if stored == record else record
            del items[-_BATCH:]
            await asyncio.sleep(0)

    async def end_list(self, version: int) -> None:
        """The list is complete, as of `version`: it replaces what is held, but for what was written meanwhile."""
        self._list_version = version
        old, new = self._records, self._listed or {}
        self._listed = None
        for name in self._written:
            record = old.get(name)
            listed = new.get(name)
            if listed is not None and compact.version_of(listed) <= self._tombstones.get(compact.uid_of(listed), -1):
                listed = None
            newest = max((one for one in (record, listed) if one), key=compact.version_of, default=None)
            if newest is None:
                new.pop(name, None)
            else:
                new[name] = newest
        # Absent from the list: deleted, or only without its labels. The latter we ask for, one by one.
        to_recheck = [
            name
            for name in old.keys() - new.keys()
            if name in self._unselected or compact.may_be_applied_by_us(old[name])
        ]
        self._unselected = set(to_recheck) | (self._unselected & self._written)
        self._records = {**new, **{name: old[name] for name in to_recheck}}
        for name in old.keys() | new.keys():
            before, after = old.get(name), self._records.get(name)
            if before is None or after is None or not compact.same_but_version(before, after):
                self._report(self._endpoints(name, before, after))
        for name in to_recheck:
            await self._recheck(name)

    async def handle_event(self, type_: str, item: JsonObject) -> None:
        """An event of the watch."""
        if type_ == "BOOKMARK":
            for name in tuple(self._unselected):
                await self._recheck(name)
            return
        metadata = checked(item)["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
        stored = self._records.get(name)
        if type_ != "DELETED":
            observed = observe(item, self._kind)
            if self._put(observed):
                self._on_changed(name, stored, observed)
        elif stored is not None and compact.uid_of(stored) == uid and compact.version_of(stored) < version:
            if compact.may_be_applied_by_us(stored) and "deletionTimestamp" not in metadata:
                # Also how an object looks whose labels were edited away.
                self._unselected.add(name)
                await self._recheck(name)
            else:
                self._on_deleted(name, stored, version)

    async def _recheck(self, name: str) -> None:
        """Whether an object that the watch does not show is still there, and still ours."""
        observed = await self.refresh(name)
        if observed is None or is_selected(observed) or is_applied_by_us(observed):
            return
        stored = self._records.get(name)
        if stored is not None and compact.uid_of(stored) == observed.uid:
            self._on_deleted(name, stored, int(observed.resource_version) - 1)

    def _put(self, observed: ObservedObject) -> bool:
        """Take in an object if it is news; whether it was."""
        name, version = observed.ref.name, int(observed.resource_version)
        stored = self._records.get(name)
        if version <= self._tombstones.get(observed.uid, -1) or (
            stored is not None and compact.version_of(stored) >= version
        ):
            return False
        self._mark_written(name)
        self._records[name] = compact.pack(observed)
        if is_selected(observed):
            self._unselected.discard(name)
        else:
            self._unselected.add(name)
        return True

    def _on_changed(self, name: str, before: bytes | None, observed: ObservedObject) -> None:
        after = self._records[name]
        if before is None or not compact.same_but_version(before, after):
            self._report(self._endpoints(name, before, after))

    def _on_deleted(self, name: str, stored: bytes, version: int) -> None:
        self._entomb(compact.uid_of(stored), version)
        self._mark_written(name)
        self._remove(name)
        self._report(self._endpoints(name, stored, None))

    def _remove(self, name: str) -> None:
        del self._records[name]
        self._unselected.discard(name)

    def _mark_written(self, name: str) -> None:
        if self._listed is not None:
            self._written.add(name)

    def _entomb(self, uid: str, version: int) -> None:
        self._tombstones[uid] = max(version, self._tombstones.pop(uid, -1))
        while len(self._tombstones) > _MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]

    def _endpoints(self, name: str, *records: bytes | None) -> frozenset[str]:
        annotated = {compact.endpoint_of(self.ref(name), record) for record in records if record is not None}
        return frozenset().union(*(names.endpoints_of_object(name, endpoint) for endpoint in annotated))
