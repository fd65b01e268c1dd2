"""Decides which endpoint an ingress path belongs to, from the items and the live Ingresses.

A path belongs to the endpoint whose Ingress serves it. If none does, it belongs to the oldest item that is to have an
Ingress and whose path no other endpoint owns. Every process decides alike from the same items and Ingresses.
"""

from collections.abc import Callable

from gco_stream.engine.state.ingress_paths import IngressPaths
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.planning.lifecycle.running import replicas_of

Item = Endpoint | InvalidItem
ItemOf = Callable[[str], Item | None]


class PathOwners:
    """The owners of ingress paths at one moment. `serves`: whether an endpoint's live Ingress has an overlapping path.

    Create a new instance for each decision, because it keeps its results.
    """

    def __init__(self, region: str, item_of: ItemOf, paths: IngressPaths, serves: Callable[[str, str], bool]) -> None:
        self._region = region
        self._item_of = item_of
        self._paths = paths
        self._serves = serves
        self._known: dict[str, str | None] = {}

    def owner_of(self, name: str) -> str | None:
        """Returns the endpoint that owns the path of this one or an overlapping path; None if this one may serve it."""
        if name not in self._known:
            rivals = self._paths.overlapping(name)
            self._known[name] = self._find_owner(name, rivals) if rivals else None
        return self._known[name]

    def _find_owner(self, name: str, rivals: list[str]) -> str | None:
        item = self._item_of(name)
        if not isinstance(item, Endpoint) or not self._needs_ingress(item):
            return None
        path = item.ingress_path
        is_serving = self._serves(name, path)
        for rival in rivals:
            is_older = self._paths.is_older(rival, name)
            if is_serving and not is_older:
                return None
            if self._serves(rival, path) or (is_older and self._may_serve(rival)):
                return rival
        return None

    def _may_serve(self, rival: str) -> bool:
        item = self._item_of(rival)
        # Only older items are considered for an older item, so this ends.
        return isinstance(item, Endpoint) and self._needs_ingress(item) and self.owner_of(rival) is None

    def _needs_ingress(self, item: Endpoint) -> bool:
        return item.is_wanted_in(self._region) and item.spec is not None and replicas_of(item.spec).start > 0
