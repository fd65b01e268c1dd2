"""How the stream is found and followed, and the calls for it: I2, I3, I9, I11 where it ends or cannot be read."""

from typing import Final

from tests.mutants.mutant import Mutant

FOLLOWING: Final = (
    Mutant(
        name="troubles-of-a-former-stream-stay",
        invariant="I9",
        file="gco_stream/stream/consumer.py",
        old="        self._degraded.clear()\n",
        new="",
        breaks="after the next trouble the table is scanned every few seconds for ever, for a stream that is no more",
        tests=("tests/stream/test_looked_up.py::test_of_troubles_with_a_former_stream_nothing_is_said_of_the_next",),
    ),
    Mutant(
        name="the-trouble-of-a-lost-shard-stays",
        invariant="I9",
        file="gco_stream/stream/tail.py",
        old=("            self._processor.degraded(shard_id, None)\n            self._processor.gap("),
        new="            self._processor.gap(",
        breaks="the table is scanned every few seconds for ever, for a shard that is no more",
        tests=("tests/stream/test_looked_up.py::test_the_trouble_of_a_shard_ends_with_the_shard",),
    ),
    Mutant(
        name="a-former-stream-is-held-on-to",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="                self._tail = None\n                pause = await self._attach(error.message)",
        new="                pause = await self._attach(error.message)",
        breaks="while the next stream cannot be read the one that has ended is, without a pause",
        tests=("tests/stream/test_shards.py::test_a_stream_that_was_turned_off_is_poll_mode_and_a_gap",),
    ),
    Mutant(
        name="any-stream-is-the-tables",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="return await self._location() == StreamLocation(arn, enabled=True)",
        new="return (await self._location()).enabled",
        breaks="a stream that was replaced is read as long as it can be",
        tests=(
            "tests/stream/test_shards.py::test_behind_shards_that_fail_for_long_the_table_is_asked_for_another_stream",
            "tests/stream/test_looked_up.py::test_of_troubles_with_a_former_stream_nothing_is_said_of_the_next",
        ),
    ),
    Mutant(
        name="a-lookup-that-fails-is-a-no",
        invariant="I9",
        file="gco_stream/stream/consumer.py",
        old='cannot be looked up", error=error.message)\n                return True',
        new='cannot be looked up", error=error.message)\n                return False',
        breaks="each time that the table is throttled the stream is pinned anew, with a gap",
        tests=("tests/stream/test_shards.py::test_where_the_table_cannot_be_asked_a_doubt_changes_nothing",),
    ),
    Mutant(
        name="a-lookup-that-is-refused-ends-the-consumer",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="        except Exception as error:\n            # Another",
        new="        except TimeoutError as error:\n            # Another",
        breaks="without the right to describe the table nothing is read any more, and nothing scanned",
        tests=(
            "tests/stream/test_looked_up.py::test_where_the_table_may_not_be_described_it_says_so_polls_and_tries_again_and_nothing_is_lost",
            "tests/stream/test_looked_up.py::test_where_the_next_stream_may_not_be_looked_up_a_gap_is_told_before_and_after",
        ),
    ),
    Mutant(
        name="a-stream-that-ended-tells-of-no-gap",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="""            if not was_polling:
                self._on_gap(why)
""",
        new="",
        breaks="what was written at a stream's end waits until the next stream can be read",
        tests=(
            "tests/stream/test_looked_up.py::test_where_the_next_stream_may_not_be_looked_up_a_gap_is_told_before_and_after",
        ),
    ),
    Mutant(
        name="a-stream-that-is-back-tells-of-no-gap",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="""            return self._backoff.after_failure()
        self._on_gap(why)
""",
        new="            return self._backoff.after_failure()\n",
        breaks="what was written before the new place was fixed is seen by the next resync alone",
        tests=(
            "tests/stream/test_looked_up.py::test_where_the_table_may_not_be_described_it_says_so_polls_and_tries_again_and_nothing_is_lost",
            "tests/stream/test_looked_up.py::test_where_the_next_stream_may_not_be_looked_up_a_gap_is_told_before_and_after",
        ),
    ),
    Mutant(
        name="a-lookup-without-a-deadline",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="async with asyncio.timeout(self._call_timeout):",
        new="async with asyncio.timeout(None):",
        breaks="a DescribeTable that hangs keeps the consumer from the stream for ever",
        tests=("tests/stream/test_looked_up.py::test_a_lookup_that_is_never_answered_is_given_up_and_made_again",),
    ),
    Mutant(
        name="a-stream-that-is-off-is-asked-for-all-the-time",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="base=_MIN_DELAY, cap=MAX_RECHECK_SECONDS)",
        new="base=_MIN_DELAY, cap=_MIN_DELAY)",
        breaks="a table without a stream is described every second, by every region",
        tests=(
            "tests/stream/test_consumer.py::test_a_table_without_a_stream_is_polled_and_its_stream_found_within_a_minute",
        ),
    ),
    Mutant(
        name="a-stream-that-is-off-is-asked-for-ever-more-seldom",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="base=_MIN_DELAY, cap=MAX_RECHECK_SECONDS)",
        new="base=_MIN_DELAY, cap=60 * MAX_RECHECK_SECONDS)",
        breaks="a stream that is turned on is found an hour later",
        tests=(
            "tests/stream/test_consumer.py::test_a_table_without_a_stream_is_polled_and_its_stream_found_within_a_minute",
        ),
    ),
    Mutant(
        name="a-stream-is-looked-for-late",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="base=_MIN_DELAY, cap=MAX_RECHECK_SECONDS)",
        new="base=MAX_RECHECK_SECONDS, cap=MAX_RECHECK_SECONDS)",
        breaks="a stream that is away for a moment is missed for a minute",
        tests=(
            "tests/stream/test_consumer.py::test_without_permission_it_polls_says_why_and_tries_again_ever_more_seldom",
        ),
    ),
    Mutant(
        name="the-back-off-outlives-the-success",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="        self._backoff.succeeded()\n",
        new="",
        breaks="a stream that was off for long is looked for late each time after",
        tests=(
            "tests/stream/test_looked_up.py::test_a_stream_that_is_off_again_is_looked_for_as_soon_as_the_first_time",
        ),
    ),
    Mutant(
        name="a-stream-that-may-not-be-read-is-pinned-without-a-pause",
        invariant="I11",
        file="gco_stream/stream/consumer.py",
        old="pause = MAX_RECHECK_SECONDS * self._rng.uniform(0.9, 1)",
        new="pause = 0.0",
        breaks="one right that is missing makes a scan of the table each second",
        tests=("tests/stream/test_looked_up.py::test_a_stream_that_can_be_pinned_and_not_read_is_tried_once_a_minute",),
    ),
    Mutant(
        name="a-parent-that-one-list-lacks-is-forgotten",
        invariant="I3",
        file="gco_stream/stream/lineage.py",
        old="elif entry.state in _UNREAD or entry.unlisted < _MAX_UNLISTED:",
        new="elif entry.unlisted < 0:",
        breaks="changes are told in the wrong order after a list with a page missing",
        tests=(
            "tests/stream/test_lineage.py::test_a_shard_waits_for_a_parent_that_a_list_has_shown_though_a_later_list_lacks_it",
            "tests/stream/test_lineage.py::test_a_shard_that_is_read_or_waits_is_kept_though_it_is_not_listed",
        ),
    ),
    Mutant(
        name="a-page-is-asked-for-without-end",
        invariant="I11",
        file="gco_stream/table/endpoints.py",
        old="stop=stop_after_attempt(_MAX_PAGE_ATTEMPTS),",
        new="stop=stop_after_attempt(10**6),",
        breaks="a table that hangs is scanned for ever, and nobody is told",
        tests=(
            "tests/table/test_timeouts.py::test_a_page_that_is_never_answered_is_asked_for_four_times_and_then_the_scan_has_failed",
        ),
    ),
)
