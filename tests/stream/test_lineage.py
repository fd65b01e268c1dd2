import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.stream.lineage import Lineage, Shard, ShardIteratorType, ShardStart, ShardState


def tail_of(shard_id, **options):
    return ShardStart(shard_id, ShardIteratorType.LATEST, **options)


def whole(shard_id):
    return ShardStart(shard_id, ShardIteratorType.TRIM_HORIZON)


def states(lineage):
    return {id_: entry.state for id_, entry in lineage.shards.items()}


def every_order(*shards):
    return pytest.mark.parametrize("listing", [*itertools.permutations(shards)], ids=lambda o: "".join(s.id for s in o))


P = Shard("p")
P_CLOSED = Shard("p", closed=True)
A, B = Shard("a", "p"), Shard("b", "p")


def test_open_shards_are_pinned_at_their_end_and_closed_ones_are_history():
    lineage, starts = Lineage.pinned([Shard("old", closed=True), Shard("now", "old"), Shard("other")])
    assert starts == (tail_of("now"), tail_of("other"))
    assert states(lineage) == {"old": ShardState.SHARD_END, "now": ShardState.READING, "other": ShardState.READING}


def test_an_empty_listing_pins_nothing():
    assert Lineage.pinned([]) == (Lineage(), ())


@every_order(P, A, Shard("c", "a"))
def test_children_of_a_parent_that_looks_open_wait_and_are_read_whole(listing):
    lineage, starts = Lineage.pinned(listing)
    assert starts == (tail_of("p"),)
    lineage, starts = lineage.ended("p")
    assert starts == (whole("a"),)
    lineage, starts = lineage.ended("a")
    assert starts == (whole("c"),)


@every_order(P, Shard("a", "p", closed=True), Shard("c", "a"))
def test_a_closed_child_of_a_parent_that_looks_open_is_not_history(listing):
    lineage, _ = Lineage.pinned(listing)
    lineage, starts = lineage.ended("p")
    assert starts == (whole("a"),)


@every_order(P_CLOSED, A, B)
def test_both_children_of_a_split_start_when_their_parent_is_drained(listing):
    lineage, _ = Lineage.pinned([P])
    lineage, starts = lineage.listed(listing)
    assert starts == ()
    assert states(lineage) == {"p": ShardState.READING, "a": ShardState.WAITING, "b": ShardState.WAITING}
    lineage, starts = lineage.ended("p")
    assert sorted(starts, key=lambda start: start.shard_id) == [whole("a"), whole("b")]


@every_order(P_CLOSED, A, B)
def test_children_that_are_listed_after_their_parent_was_drained_start_at_once(listing):
    lineage, _ = Lineage.pinned([P])
    lineage, starts = lineage.ended("p")
    assert starts == ()
    assert lineage.childless() == {"p"}
    lineage, starts = lineage.listed(listing)
    assert sorted(starts, key=lambda start: start.shard_id) == [whole("a"), whole("b")]
    assert lineage.childless() == frozenset()


def test_a_single_child_follows_its_parent():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.ended("p")
    _, starts = lineage.listed([P_CLOSED, A])
    assert starts == (whole("a"),)


def test_a_shard_without_children_stays_childless():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.ended("p")
    for _ in range(3):
        lineage, starts = lineage.listed([P_CLOSED])
        assert (starts, lineage.childless()) == ((), {"p"})


def test_only_one_of_two_merged_shards_has_the_child():
    lineage, _ = Lineage.pinned([Shard("p"), Shard("q")])
    lineage, _ = lineage.listed([P_CLOSED, Shard("q", closed=True), Shard("m", "p")])
    lineage, starts = lineage.ended("q")
    assert starts == ()
    lineage, starts = lineage.ended("p")
    assert starts == (whole("m"),)
    assert lineage.childless() == {"q"}


def test_a_new_child_of_a_history_shard_is_read_whole():
    lineage, starts = Lineage.pinned([P_CLOSED])
    assert (starts, lineage.childless()) == ((), {"p"})
    _, starts = lineage.listed([P_CLOSED, A])
    assert starts == (whole("a"),)


@pytest.mark.parametrize("closed", [False, True])
def test_a_new_shard_with_a_trimmed_parent_is_read_whole_even_if_closed(closed):
    lineage, _ = Lineage.pinned([Shard("other")])
    _, starts = lineage.listed([Shard("other"), Shard("a", "trimmed", closed=closed)])
    assert starts == (whole("a"),)


def test_a_parent_listed_after_its_child_is_read_whole_without_delaying_it():
    lineage, _ = Lineage.pinned([P])
    lineage, starts = lineage.listed([P_CLOSED, Shard("c", "a")])
    assert starts == (whole("c"),)
    lineage, starts = lineage.listed([P_CLOSED, A, Shard("c", "a")])
    assert starts == ()
    lineage, starts = lineage.ended("p")
    assert starts == (whole("a"),)


@pytest.mark.parametrize(
    "later", [[P_CLOSED, A, Shard("c", "a")], [P_CLOSED, Shard("c", "a")], [Shard("c", "a")]], ids=len
)
def test_a_shard_waits_for_a_known_parent_missing_from_later_lists(later):
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.listed([P_CLOSED, A])
    lineage, starts = lineage.listed(later)
    assert starts == ()
    lineage, starts = lineage.ended("p")
    assert starts == (whole("a"),)
    lineage, starts = lineage.ended("a")
    assert starts == (whole("c"),)


def test_a_trimmed_parent_is_history_at_the_pin():
    _, starts = Lineage.pinned([Shard("a", "trimmed"), Shard("b", "trimmed", closed=True)])
    assert starts == (tail_of("a"),)


def test_a_generation_that_lived_between_two_listings_is_read_in_order():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.ended("p")
    lineage, starts = lineage.listed([Shard("c", "a"), Shard("a", "p", closed=True), P_CLOSED])
    assert starts == (whole("a"),)
    _, starts = lineage.ended("a")
    assert starts == (whole("c"),)


def test_a_shard_is_never_started_twice():
    lineage, _ = Lineage.pinned([P])
    for listing in ([P], [P, A], [P_CLOSED, A], [P, A], []):
        lineage, starts = lineage.listed(listing, retry_lost=True)
        assert starts == ()
    lineage, starts = lineage.ended("p")
    assert starts == (whole("a"),)
    for listing in ([P], [P_CLOSED, A], [A]):
        lineage, starts = lineage.listed(listing, retry_lost=True)
        assert starts == ()


def test_a_closed_shard_stays_closed():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.listed([P_CLOSED])
    lineage, _ = lineage.listed([P])
    assert lineage.shards["p"].shard.closed


def test_children_of_a_lost_shard_are_read_whole():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.listed([P_CLOSED, A])
    lineage, starts = lineage.ended("p", lost=True)
    assert starts == (whole("a"),)
    assert lineage.shards["p"].state is ShardState.SHARD_END


def test_a_lost_open_shard_is_retried_from_its_end_on_request_with_a_gap():
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.ended("p", lost=True)
    lineage, starts = lineage.listed([P])
    assert starts == ()
    lineage, starts = lineage.listed([P], retry_lost=True)
    assert starts == (tail_of("p", gap=True),)
    assert lineage.shards["p"].state is ShardState.READING


@pytest.mark.parametrize("listing", [[P_CLOSED], [P, A], []], ids=["closed", "has a child", "not listed"])
def test_a_lost_shard_that_has_ended_is_retried_once(listing):
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.ended("p", lost=True)
    lineage, starts = lineage.listed(listing, retry_lost=True)
    assert tail_of("p", gap=True) in starts
    lineage, _ = lineage.ended("p", lost=True)
    lineage, starts = lineage.listed(listing, retry_lost=True)
    assert "p" not in {start.shard_id for start in starts}


@pytest.mark.parametrize("listing", [[P_CLOSED], [P_CLOSED, A]], ids=["closed", "has a child"])
def test_a_shard_that_was_lost_after_it_closed_is_not_retried(listing):
    lineage, _ = Lineage.pinned([P])
    lineage, _ = lineage.listed(listing)
    lineage, _ = lineage.ended("p", lost=True)
    lineage, starts = lineage.listed(listing, retry_lost=True)
    assert "p" not in {start.shard_id for start in starts}


def test_an_ended_shard_is_forgotten_only_after_many_lists_without_it():
    lineage, _ = Lineage.pinned([P_CLOSED, A])
    for _ in range(10):
        lineage, _ = lineage.listed([A])
    lineage, starts = lineage.listed([P_CLOSED, A])
    assert starts == ()
    for _ in range(11):
        lineage, _ = lineage.listed([A])
    assert set(lineage.shards) == {"a"}


def test_an_unread_shard_is_kept_although_it_is_not_listed():
    lineage, _ = Lineage.pinned([P, A])
    for _ in range(20):
        lineage, _ = lineage.listed([])
    assert states(lineage) == {"p": ShardState.READING, "a": ShardState.WAITING}


def test_cycles_of_parents_do_no_harm():
    knot = [Shard("x", "y"), Shard("y", "x"), Shard("z", "z")]
    Lineage.pinned(knot)
    lineage, _ = Lineage.pinned([P])
    lineage, starts = lineage.listed([P, *knot])
    assert starts == ()
    _, starts = lineage.ended("p")
    assert starts == ()


class Stream:
    """A growing stream: shards close and get no, one or two children, and old shards are trimmed."""

    def __init__(self, roots):
        self.shards = {f"r{n}": Shard(f"r{n}") for n in range(roots)}
        self.trimmed = set()

    def grow(self, draw):
        open_ = sorted(id_ for id_, shard in self.shards.items() if not shard.closed)
        if open_:
            parent = draw(st.sampled_from(open_))
            self.shards[parent] = Shard(parent, self.shards[parent].parent, closed=True)
            for n in range(draw(st.integers(0, 2))):
                child = f"{parent}{'ab'[n]}"
                self.shards[child] = Shard(child, parent)

    def trim(self, draw):
        closed = sorted(id_ for id_, shard in self.shards.items() if shard.closed and id_ not in self.trimmed)
        oldest = [id_ for id_ in closed if self.shards[id_].parent in {None, *self.trimmed}]
        if oldest:
            self.trimmed.add(draw(st.sampled_from(oldest)))

    def listing(self, draw):
        visible = [shard for id_, shard in self.shards.items() if id_ not in self.trimmed]
        return draw(st.permutations(visible))


@given(st.data())
def test_every_shard_with_new_records_is_read_once_and_after_its_parent(data):
    draw = data.draw
    stream = Stream(draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 4))):
        draw(st.sampled_from([stream.grow, stream.trim]))(draw)
    history = {id_ for id_, shard in stream.shards.items() if shard.closed}
    lineage, starts = Lineage.pinned(stream.listing(draw))
    assert {start.shard_id for start in starts} == set(stream.shards) - history
    assert {start.iterator_type for start in starts} <= {ShardIteratorType.LATEST}
    reading, begun, ended = set(), [], set()

    def begin(starts):
        for start in starts:
            assert start.shard_id not in begun
            parent = stream.shards[start.shard_id].parent
            # A parent that was trimmed before it was ever listed cannot be read.
            assert parent in {None, *history, *ended} or parent not in lineage.shards
            begun.append(start.shard_id)
            reading.add(start.shard_id)

    begin(starts)
    never_seen = set()
    steps = draw(st.lists(st.sampled_from(["grow", "trim", "list", "end"]), max_size=25))
    for step in [*steps, "list", *["end"] * 60]:
        match step:
            case "grow":
                stream.grow(draw)
            case "trim":
                stream.trim(draw)
                never_seen |= stream.trimmed - set(lineage.shards)
            case "list":
                lineage, starts = lineage.listed(stream.listing(draw))
                assert all(start.iterator_type is ShardIteratorType.TRIM_HORIZON for start in starts)
                begin(starts)
            case "end":
                over = sorted(id_ for id_ in reading if stream.shards[id_].closed)
                if over:
                    shard_id = draw(st.sampled_from(over))
                    reading.discard(shard_id)
                    ended.add(shard_id)
                    lineage, starts = lineage.ended(shard_id, lost=draw(st.booleans()))
                    assert all(start.iterator_type is ShardIteratorType.TRIM_HORIZON for start in starts)
                    begin(starts)
    assert set(begun) == set(stream.shards) - history - never_seen
    assert reading == {id_ for id_, shard in stream.shards.items() if not shard.closed}
    assert lineage.childless() >= {id_ for id_ in ended if not any(s.parent == id_ for s in stream.shards.values())}


@given(st.data())
def test_inconsistent_pages_pin_every_open_shard_or_make_it_wait(data):
    draw = data.draw
    stream = Stream(draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 5))):
        stream.grow(draw)
    # Each shard as seen on one page: any that is closed now may still look open.
    seen = [
        Shard(shard.id, shard.parent, closed=shard.closed and draw(st.booleans())) for shard in stream.shards.values()
    ]
    lineage, starts = Lineage.pinned(draw(st.permutations(seen)))
    reading = {start.shard_id for start in starts}
    begun = set(reading)
    while over := sorted(id_ for id_ in reading if stream.shards[id_].closed):
        reading.remove(over[0])
        lineage, starts = lineage.ended(over[0])
        reading |= {start.shard_id for start in starts}
        assert not begun & {start.shard_id for start in starts}
        begun |= reading
    assert reading == {id_ for id_, shard in stream.shards.items() if not shard.closed}
