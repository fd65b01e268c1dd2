"""Store for all objects of one kind in one namespace, with the rules for accepting updates.

Updates come from lists, watch events, and responses to our own reads and writes. The higher resourceVersion wins. A
complete list replaces all stored objects, even if the server's versions went backwards, except for objects that were
stored while the list was being read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from gco_stream.cluster.api.objects import checked, is_applied_by_us, is_selected, observe
from gco_stream.cluster.cache import packed_object as compact
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject

# Maximum number of deleted uids to remember, so that late updates do not bring their objects back. Far fewer objects
# are deleted while an update is on its way.
_MAX_TOMBSTONES: Final = 4096
_MAX_VERSION: Final = 2**64
# Objects processed before yielding to the event loop.
_BATCH: Final = 50


class Store:
    """Cached objects of one kind in one namespace; implements ReflectorStore.

    `fetch` reads one object from the server (None: it does not exist). `report` receives the names of endpoints that
    may need a new plan.
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
        # Names of stored objects that the watch's label selector does not match, so the watch does not report their
        # changes.
        self._unselected: set[str] = set()
        self._listed: dict[str, bytes] | None = None
        self._written: set[str] = set()
        self._list_version = -1

    def __len__(self) -> int:
        return len(self._records)

    def ref(self, name: str) -> ObjectRef:
        """Returns a reference to the object with this name."""
        return ObjectRef(self._kind, self._namespace, name)

    def get(self, name: str) -> ObservedObject | None:
        """Returns the object with this name, or None if it is not stored."""
        record = self._records.get(name)
        return None if record is None else compact.unpack(self.ref(name), record)

    def version(self, name: str) -> int | None:
        """Returns the resourceVersion of the object with this name, or None if it is not stored."""
        record = self._records.get(name)
        return None if record is None else compact.version_of(record)

    def endpoints(self) -> Iterator[tuple[str, str | None]]:
        """Yields the name and gco.io/endpoint annotation of every object."""
        for name, record in self._records.items():
            yield name, compact.endpoint_of(self.ref(name), record)

    def put(self, raw: JsonObject) -> ObservedObject:
        """Stores an object from a response without reporting the change, because the caller already knows about it."""
        observed = observe(raw, self._kind)
        unknown = observed.ref.name not in self._records and is_selected(observed)
        if not unknown or int(observed.resource_version) > self._list_version:
            self._put(observed)
        # Otherwise, the object is older than the list but missing from it: it was deleted before this response arrived,
        # and no event will report that.
        return observed

    def forget(self, name: str, uid: str) -> None:
        """Records that the object with this uid is gone; later updates for it are ignored."""
        self._entomb(uid, _MAX_VERSION)
        self._mark_written(name)
        stored = self._records.get(name)
        if stored is not None and compact.uid_of(stored) == uid:
            self._remove(name)

    async def refresh(self, name: str) -> ObservedObject | None:
        """Reads the object from the server, stores it, and reports it if it changed.

        Returns None if it does not exist. Raises ClusterError.
        """
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
        """Starts a list and clears the tombstones, because an object that is already deleted cannot appear in it."""
        self._listed = {}
        self._written = set()
        self._tombstones.clear()

    async def add_page(self, items: list[JsonObject]) -> None:
        """Adds `items` to the list and empties it."""
        listed = self._listed if self._listed is not None else {}
        while items:
            for item in items[-_BATCH:]:
                observed = observe(item, self._kind)
                record = compact.pack(observed)
                stored = self._records.get(observed.ref.name)
                # An unchanged record is reused, so there is no second copy of it while the list is incomplete.
                listed[observed.ref.name] = stored if stored == record else record
            del items[-_BATCH:]
            await asyncio.sleep(0)

    async def end_list(self, version: int) -> None:
        """Completes the list. It replaces the stored objects, except for those that were stored meanwhile.

        `version`: resourceVersion of the list.
        """
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
        # An object that is missing from the list was deleted or lost its labels. Those that may be ours are read one by
        # one to find out.
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
        """Handles a watch event."""
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
                # The watch also sends DELETED for an object that no longer matches the label selector.
                self._unselected.add(name)
                await self._recheck(name)
            else:
                self._on_deleted(name, stored, version)

    async def _recheck(self, name: str) -> None:
        """Reads an object that the watch does not report, and removes it from the store if it is no longer ours."""
        observed = await self.refresh(name)
        if observed is None or is_selected(observed) or is_applied_by_us(observed):
            return
        stored = self._records.get(name)
        if stored is not None and compact.uid_of(stored) == observed.uid:
            self._on_deleted(name, stored, int(observed.resource_version) - 1)

    def _put(self, observed: ObservedObject) -> bool:
        """Stores an object unless it is outdated; returns whether it was stored."""
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
