"""What stands in the cluster, in memory: every kind in every allowed namespace, followed by a watch each.

Workers read it instead of the API server, and put the answers of their writes into it, so that they never plan on what
was before their own last write.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import NotFound, ServerError
from gco_stream.cluster.api.objects import checked, collection_path, object_path, ref_of
from gco_stream.cluster.cache.reflector import INACTIVITY_SECONDS, Reflector, ReflectorSnapshot
from gco_stream.cluster.cache.store import Store
from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, Observed, ObservedObject

_KINDS: Final = frozenset(map(str, Kind))
_NAMED_AFTER_ENDPOINT: Final = (Kind.DEPLOYMENT, Kind.SERVICE)


@dataclass(frozen=True, slots=True)
class CacheSnapshot:
    """The cache's health. `unsynced`: namespaces whose objects are not (or no longer) known, each with the reason."""

    synced: bool
    unsynced: dict[str, str]
    objects: int
    watches: tuple[ReflectorSnapshot, ...]


class ClusterCache:
    """An informer of all objects that endpoints are made of.

    `on_change` gets the names of the endpoints that something has changed for which the cache did not know before; it
    is called within the event loop and must not block.
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
        """From now on `callback` is called with each namespace of which all is known, or known again.

        It is called within the event loop and must not block; a later callback takes its place.
        """
        self._on_synced = callback

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for (kind, namespace), reflector in self._reflectors.items():
                tasks.create_task(reflector.run(), name=f"watch {kind} {namespace}")

    @property
    def synced(self) -> bool:
        """Whether every collection has been listed and none is refused now."""
        return all(reflector.synced for reflector in self._reflectors.values())

    @property
    def unsynced(self) -> dict[str, str]:
        """The namespaces of which not everything is known, each with the reason."""
        reasons: dict[str, str] = {}
        for (_, namespace), reflector in self._reflectors.items():
            if not reflector.synced:
                reasons.setdefault(namespace, reflector.problem or "not listed yet")
        return reasons

    async def wait_synced(self) -> None:
        """Return when everything has been listed; a namespace that is refused is waited for."""
        await self._wait(lambda: self.synced)

    async def wait_settled(self) -> None:
        """Return when every collection has been listed or refused: one bad namespace must not hold up the others."""
        await self._wait(lambda: all(reflector.synced or reflector.problem for reflector in self._reflectors.values()))

    def snapshot(self) -> CacheSnapshot:
        """Its health now."""
        now = asyncio.get_running_loop().time()
        return CacheSnapshot(
            synced=self.synced,
            unsynced=self.unsynced,
            objects=sum(map(len, self._stores.values())),
            watches=tuple(reflector.snapshot(now) for reflector in self._reflectors.values()),
        )

    def observed(self, endpoint_name: str) -> Observed:
        """All objects that may concern the endpoint, in every allowed namespace."""
        found = {}
        for store, name in self._stores_of_endpoint(endpoint_name):
            one = store.get(name)
            if one is not None:
                found[one.ref] = one
        return Observed(found)

    def token(self, endpoint_name: str) -> tuple[str, ...]:
        """A value that differs as soon as one of the objects that `observed` shows does; cheap to make and to keep."""
        versions = (store.version(name) for store, name in self._stores_of_endpoint(endpoint_name))
        # One short string rather than six: it is kept for each of thousands of endpoints.
        return (",".join("" if version is None else str(version) for version in versions),)

    def endpoint_names(self) -> frozenset[str]:
        """Every endpoint that some object says it belongs to, or, where it does not say, may belong to by its name."""
        found: set[str] = set()
        for (kind, _), store in self._stores.items():
            for name, endpoint in store.endpoints():
                if endpoint is not None:
                    found.add(endpoint)
                elif kind is Kind.INGRESS:
                    found.add(name.removeprefix(names.INGRESS_PREFIX))
                else:
                    found |= {name, name.removesuffix(names.CANARY_SUFFIX)}
        return frozenset(found)

    def named(self, kind: Kind) -> Iterator[tuple[str, str, str | None]]:
        """Every object of a kind: its namespace, its name and its gco.io/endpoint."""
        for namespace in self.namespaces:
            # A copy: whoever goes through thousands of them lets others have the loop meanwhile.
            for name, endpoint in tuple(self._stores[kind, namespace].endpoints()):
                yield namespace, name, endpoint

    def has(self, ref: ObjectRef) -> bool:
        """Whether such an object stands, be it terminating."""
        return self._store_of(ref).version(ref.name) is not None

    def put(self, raw: JsonObject) -> ObservedObject:
        """Take in an object as the server has just answered it: read your own writes.

        Raises ServerError where the answer is no such object.
        """
        if checked(raw).get("kind") not in _KINDS:
            raise ServerError(200, "", "the answer is an object of another kind")
        return self._store_of(ref_of(raw)).put(raw)

    def forget(self, ref: ObjectRef, uid: str) -> None:
        """The object with this uid is gone for good; late events must not bring it back."""
        self._store_of(ref).forget(ref.name, uid)

    async def refresh(self, ref: ObjectRef) -> ObservedObject | None:
        """Read one object from the server, ours or not; None if there is none. Raises ClusterError."""
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
            for kind in _NAMED_AFTER_ENDPOINT:
                yield self._stores[kind, namespace], endpoint_name
                yield self._stores[kind, namespace], names.canary_name(endpoint_name)
            yield self._stores[Kind.INGRESS, namespace], names.ingress_name(endpoint_name)
            yield self._stores[Kind.HPA, namespace], endpoint_name

    async def _fetch(self, ref: ObjectRef) -> JsonObject | None:
        try:
            return await self._client.request("GET", object_path(ref))
        except NotFound:
            return None

    async def _wait(self, reached: Callable[[], object]) -> None:
        while not reached():
            self._state_changed.clear()
            await self._state_changed.wait()
