"""How often is asked what many want to know."""

from gco_stream.aio.ttl_cache import TTLCache


async def test_an_answer_is_good_for_a_moment_and_only_a_few_are_kept() -> None:
    now, asked = 100.0, list[str]()
    recent = TTLCache[int](lambda: now)

    async def of(name: str) -> int:
        async def ask() -> int:
            asked.append(name)
            return len(asked)

        return await recent.get_or_fetch(name, ask)

    assert [await of("a"), await of("a"), await of("b")] == [1, 1, 2]
    now += 2
    assert await of("a") == 3
    for number in range(100):
        await of(str(number))
    assert await of("99") == 103
    assert await of("a") == 104
