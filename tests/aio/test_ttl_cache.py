"""Tests of the cache of recent answers."""

from gco_stream.aio.ttl_cache import TTLCache


async def test_answers_expire_and_their_number_is_limited() -> None:
    now, calls = 100.0, list[str]()
    recent = TTLCache[int](lambda: now)

    async def of(name: str) -> int:
        async def ask() -> int:
            calls.append(name)
            return len(calls)

        return await recent.get_or_fetch(name, ask)

    assert [await of("a"), await of("a"), await of("b")] == [1, 1, 2]
    now += 2
    assert await of("a") == 3
    for number in range(100):
        await of(str(number))
    assert await of("99") == 103
    assert await of("a") == 104
