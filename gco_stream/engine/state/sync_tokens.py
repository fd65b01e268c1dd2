"""Records the versions at which endpoints were in sync, so that a resync plans only what may have changed."""

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.state.item_cache import ItemCache

_Token = tuple[bytes | None, tuple[str, ...]]


class SyncTokens:
    """Tokens of the endpoints that are in sync: the item's digest and the resourceVersions of its objects.

    A new process starts without tokens, so after an upgrade every endpoint is planned at least once.
    """

    def __init__(self, items: ItemCache, cache: ClusterCache) -> None:
        self.items = items
        self._cache = cache
        self._tokens: dict[str, _Token] = {}

    def settle(self, name: str) -> None:
        """Records that the last plan of the endpoint had no steps; its report may still be pending."""
        self._tokens[name] = self._token(name)

    def forget(self, name: str) -> None:
        """Removes the token of an endpoint that is out of sync or gone."""
        self._tokens.pop(name, None)

    def is_in_sync(self, name: str) -> bool:
        """Returns whether the item and the objects are unchanged since the last call of `settle`."""
        token = self._tokens.get(name)
        return token is not None and self.items.stale_mark(name) is None and token == self._token(name)

    def _token(self, name: str) -> _Token:
        return self.items.item_digest(name), self._cache.token(name)
