"""In-memory cache of live objects, with one watch for each kind in each allowed namespace.

Workers read the cache instead of the API server. They also store the responses to their writes in it, so they never
plan from a state that is older than their last write.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import NotFound, ServerError
from gco_stream.cluster.api.objects import checked, collection_path, object_path
from gco_stream.cluster.cache.reflector import INACTIVITY_SECONDS, Reflector, ReflectorSnapshot
from gco_stream.cluster.cache.store import Store
from gco_stream.model import names
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, Observed, ObservedObject, ref_of

_KINDS: Final = frozenset(map(str, Kind))


@dataclass(frozen=True, slots=True)
class CacheSnapshot:
    """Health of the cache.

    `unsynced`: namespaces whose objects are not completely known, each with the reason. `objects`: number of objects.
    """

    synced: bool
    unsynced: dict[str, str]
    objects: int
    watches: tuple[ReflectorSnapshot, ...]


class ClusterCache:
    """Cache of all objects that belong to endpoints.

    `on_change` receives the names of endpoints that a newly observed change may affect. It is called on the event loop
    and must not block. `inactivity`: seconds without events after which a watch is restarted.
    """

    def __init__(
        self,
        client: KubeClient,
        namespaces: Sequence[str],
        on_change: Callable[[frozenset[str]], None],
        *,
        inactivity: float = INACTIVITY_SECONDS,
    ) -> None:
        self._client = client
        self.namespaces = tuple(namespaces)
        self._stores: dict[tuple[Kind, str], Store] = {}
        self._reflectors: dict[tuple[Kind, str], Reflector] = {}
        self._state_changed = asyncio.Event()
        self._unsynced: frozenset[str] = frozenset(namespaces)
        self._on_synced: Callable[[str], None] = lambda _: None
        for namespace in self.namespaces:
            for kind in Kind:
                store = Store(kind, namespace, self._fetch, on_change)
                self._stores[kind, namespace] = store
                self._reflectors[kind, namespace] = Reflector(
                    client,
                    collection_path(kind, namespace),
                    names.OWNED_SELECTOR,
                    store,
                    on_state=self._on_state,
                    inactivity=inactivity,
                )

    def on_synced(self, callback: Callable[[str], None]) -> None:
        """Registers `callback`, which receives each namespace that becomes synced, initially or after a problem.

        It is called on the event loop and must not block. It replaces the previous callback.
        """
        self._on_synced = callback

    async def run(self) -> None:
        """Watches the cluster until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for (kind, namespace), reflector in self._reflectors.items():
                tasks.create_task(reflector.run(), name=f"watch {kind} {namespace}")

    @property
    def synced(self) -> bool:
        """Whether every collection has been listed and access to none is currently denied."""
        return all(reflector.synced for reflector in self._reflectors.values())

    @property
    def unsynced(self) -> dict[str, str]:
        """Namespaces whose objects are not completely known, each with the reason."""
        reasons: dict[str, str] = {}
        for (_, namespace), reflector in self._reflectors.items():
            if not reflector.synced:
                reasons.setdefault(namespace, reflector.problem or "not listed yet")
        return reasons

    async def wait_synced(self) -> None:
        """Waits until every collection has been listed, even if access to some is currently denied."""
        await self._wait(lambda: self.synced)

    async def wait_settled(self) -> None:
        """Waits until every collection has been listed or has failed, so a bad namespace does not block the others."""
        await self._wait(lambda: all(reflector.synced or reflector.problem for reflector in self._reflectors.values()))

    def snapshot(self) -> CacheSnapshot:
        """Returns the current health."""
        now = asyncio.get_running_loop().time()
        return CacheSnapshot(
            synced=self.synced,
            unsynced=self.unsynced,
            objects=sum(map(len, self._stores.values())),
            watches=tuple(reflector.snapshot(now) for reflector in self._reflectors.values()),
        )

    def observed(self, endpoint_name: str) -> Observed:
        """Returns all objects that may belong to the endpoint, in every allowed namespace."""
        found = {}
        for store, name in self._stores_of_endpoint(endpoint_name):
            one = store.get(name)
            if one is not None:
                found[one.ref] = one
        return Observed(found)

    def token(self, endpoint_name: str) -> tuple[str, ...]:
        """Returns a value that changes whenever the result of `observed` changes; cheap to compute and to store."""
        versions = (store.version(name) for store, name in self._stores_of_endpoint(endpoint_name))
        # One string instead of six per namespace, because a token is stored for each of thousands of endpoints.
        return (",".join("" if version is None else str(version) for version in versions),)

    def endpoint_names(self) -> frozenset[str]:
        """Returns the names of all endpoints to which cached objects may belong.

        An object belongs to the endpoint in its gco.io/endpoint annotation. Without one, its name decides.
        """
        found: set[str] = set()
        for (kind, _), store in self._stores.items():
            for name, endpoint in store.endpoints():
                found |= RESOURCES[kind].endpoints_of(name) if endpoint is None else {endpoint}
        return frozenset(found)

    def named(self, kind: Kind) -> Iterator[tuple[str, str, str | None]]:
        """Yields the namespace, name and gco.io/endpoint annotation of every object of a kind."""
        for namespace in self.namespaces:
            # A copy, because the store may change whenever a caller yields to the event loop between two objects.
            for name, endpoint in tuple(self._stores[kind, namespace].endpoints()):
                yield namespace, name, endpoint

    def get(self, ref: ObjectRef) -> ObservedObject | None:
        """Returns the object, or None if it is not in the cache."""
        return self._store_of(ref).get(ref.name)

    def has(self, ref: ObjectRef) -> bool:
        """Returns whether the object is in the cache; a terminating object still is."""
        return self._store_of(ref).version(ref.name) is not None

    def put(self, raw: JsonObject) -> ObservedObject:
        """Stores the object in an API response, so that our own writes are visible to the next read, and returns it.

        Raises ServerError if the response is not an object of a cached kind.
        """
        if checked(raw).get("kind") not in _KINDS:
            raise ServerError(200, "", "the response is an object of another kind")
        return self._store_of(ref_of(raw)).put(raw)

    def forget(self, ref: ObjectRef, uid: str) -> None:
        """Records that the object with this uid is gone; later updates for it are ignored."""
        self._store_of(ref).forget(ref.name, uid)

    async def refresh(self, ref: ObjectRef) -> ObservedObject | None:
        """Reads an object from the server, even if it is not ours, and stores it.

        Returns None if it does not exist. Raises ClusterError.
        """
        return await self._store_of(ref).refresh(ref.name)

    def _on_state(self) -> None:
        before, self._unsynced = self._unsynced, frozenset(self.unsynced)
        for namespace in before - self._unsynced:
            self._on_synced(namespace)
        self._state_changed.set()

    def _store_of(self, ref: ObjectRef) -> Store:
        return self._stores[ref.kind, ref.namespace]

    def _stores_of_endpoint(self, endpoint_name: str) -> Iterator[tuple[Store, str]]:
        for namespace in self.namespaces:
            for kind, resource in RESOURCES.items():
                for name in resource.names_of(endpoint_name):
                    yield self._stores[kind, namespace], name

    async def _fetch(self, ref: ObjectRef) -> JsonObject | None:
        try:
            return await self._client.request("GET", object_path(ref))
        except NotFound:
            return None

    async def _wait(self, reached: Callable[[], object]) -> None:
        while not reached():
            self._state_changed.clear()
            await self._state_changed.wait()
