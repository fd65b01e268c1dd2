"""How many endpoints may be removed in an hour without anybody having asked by desired_state=deleted.

A wrong REGION or a blanked list of regions looks just like many endpoints leaving the region: the budget keeps such a
mistake small.
"""

_HOUR = 3600.0
_AT_LEAST = 5
_SHARE = 0.1


class DeletionBudget:
    """Counts endpoints, not objects: one that was reserved may be finished. Times are seconds, monotonic.

    `limit` None: the larger of 5 and a tenth of the endpoints known.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._reserved: dict[str, float] = {}

    def left(self, name: str, known: int, now: float) -> int:
        """How many removals may still begin, at least 1 for an endpoint whose removal has begun."""
        self._reserved = {other: at for other, at in self._reserved.items() if now - at < _HOUR}
        limit = max(_AT_LEAST, int(known * _SHARE)) if self._limit is None else self._limit
        left = max(0, limit - len(self._reserved))
        return max(1, left) if name in self._reserved else left

    def reserve(self, name: str, now: float) -> None:
        """A removal begins. Call it before the first deletion is sent."""
        self._reserved.setdefault(name, now)
