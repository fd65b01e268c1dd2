"""DynamoDB's limits: calls per second, concurrent readers, and page sizes.

Documented are two readers per shard and ten DescribeStream calls per second and account. Five GetRecords calls per
second and shard are what AWS' client libraries keep to; DynamoDB responds to more with "Rate exceeded".
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.stream.scripted.errors import OperationRefused, invalid

RECORDS: Final = 1000
BYTES: Final = 1024 * 1024
SHARDS: Final = 100
READS_A_SECOND: Final = 5
READERS: Final = 2
DESCRIBES_A_SECOND: Final = 10


class Limits:
    """`records`, `size` and `shards` limit a page; `reads` limits GetRecords calls per second and shard.

    Tests may change them. `most_readers`: the maximum number of concurrent readers so far, by shard.
    """

    def __init__(self) -> None:
        self.records = RECORDS
        self.size = BYTES
        self.shards = SHARDS
        self.reads = READS_A_SECOND
        self.most_readers: Counter[str] = Counter()
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)
        self._readers: Counter[str] = Counter()

    def describing(self, now: float) -> None:
        self._counted("DescribeStream", now, DESCRIBES_A_SECOND)

    @contextmanager
    def reading(self, shard: str, now: float) -> Iterator[None]:
        """Active while a GetRecords call for a shard is in progress."""
        self._readers[shard] += 1
        self.most_readers[shard] = max(self.most_readers[shard], self._readers[shard])
        try:
            if self._readers[shard] > READERS:
                raise OperationRefused("LimitExceededException", f"Too many readers of the shard {shard}")
            self._counted(shard, now, self.reads)
            yield
        finally:
            self._readers[shard] -= 1

    def _counted(self, what: str, now: float, a_second: int) -> None:
        times = self._calls[what]
        while times and now - times[0] >= 1:
            times.popleft()
        if len(times) >= a_second:
            raise RateExceeded(what)
        times.append(now)


class RateExceeded(OperationRefused):
    """Too many calls in one second. Rejected calls do not count."""

    def __init__(self, what: str) -> None:
        super().__init__("LimitExceededException", f"Rate exceeded for {what}")


def at_most(limit: object, bound: int, words: str) -> int:
    """The Limit of a request, or the bound if it has none."""
    if limit is None:
        return bound
    assert isinstance(limit, int)
    if limit < 1:
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        )
    if limit > bound:
        raise invalid(f"One or more parameter values were invalid: {words}")
    return limit
