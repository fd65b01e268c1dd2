"""Which endpoints were found in sync, with what: so that a resync plans only what could have changed."""

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.state.item_cache import ItemCache

_Token = tuple[bytes | None, tuple[str, ...]]


class SyncTokens:
    """A token an endpoint: the item's digest and its objects' resourceVersions, as of its last plan without a step.

    A new program begins with none, so an upgrade plans everything once.
    """

    def __init__(self, items: ItemCache, cache: ClusterCache) -> None:
        self._items = items
        self._cache = cache
        self._tokens: dict[str, _Token] = {}

    def settle(self, name: str) -> None:
        """The last plan of the endpoint had no step; its report may still wait for a turn."""
        self._tokens[name] = self._token(name)

    def forget(self, name: str) -> None:
        """The endpoint is not in sync, or gone."""
        self._tokens.pop(name, None)

    def is_in_sync(self, name: str) -> bool:
        """Whether neither item nor objects have changed since the endpoint was in sync."""
        token = self._tokens.get(name)
        return token is not None and self._items.stale_mark(name) is None and token == self._token(name)

    def _token(self, name: str) -> _Token:
        return self._items.item_digest(name), self._cache.token(name)
