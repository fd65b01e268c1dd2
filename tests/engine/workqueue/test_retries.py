"""When failing keys are retried: a few often, many in turn, and all once one of them succeeds."""

import random

import pytest

from gco_stream.engine.workqueue.retries import ItemBackoff, Retries


class WokenKeys(list[tuple[str, float]]):
    def wake(self, name: str, wait: float) -> None:
        self.append((name, wait))


@pytest.fixture
def woken() -> WokenKeys:
    return WokenKeys()


@pytest.fixture
def retries(woken: WokenKeys) -> Retries:
    return Retries(ItemBackoff(rng=random.Random(0)), woken.wake)


def test_a_key_that_recovers_wakes_the_others_with_the_same_cause(retries: Retries, woken: WokenKeys) -> None:
    for name, cause in (("a", "webhook"), ("b", "webhook"), ("c", "quota"), ("d", "")):
        retries.failed(name, 0, cause=cause)
    retries.succeeded("a", 1)
    assert woken == [("b", 0)]


def test_a_key_that_fails_for_another_cause_has_recovered_from_the_first(retries: Retries, woken: WokenKeys) -> None:
    for name in "ab":
        retries.failed(name, 0, cause="no Service may be made")
    retries.failed("a", 1, cause="no Ingress may be made")
    assert woken == [("b", 0)]


def test_a_repeated_failure_or_a_cause_of_its_own_wakes_no_other_key(retries: Retries, woken: WokenKeys) -> None:
    for name, cause in (("a", "webhook"), ("b", "webhook"), ("c", ""), ("d", "")):
        retries.failed(name, 0, cause=cause)
        retries.failed(name, 1, cause=cause)
    retries.succeeded("c", 2)
    assert woken == []


def test_a_woken_key_that_fails_is_woken_again_only_after_its_own_delay(retries: Retries, woken: WokenKeys) -> None:
    retries.failed("b", 0, cause="quota")
    for _ in range(3):
        retries.failed("flaps", 0, cause="quota")
        retries.succeeded("flaps", 1)
        retries.failed("b", 1, cause="quota", woken=True)
    assert woken == [("b", 0)]
    retries.failed("b", 9, cause="quota")
    retries.failed("flaps", 9, cause="quota")
    retries.succeeded("flaps", 9)
    assert woken == [("b", 0), ("b", 0)]


def test_a_woken_key_still_waits_as_long_as_the_server_requested(retries: Retries, woken: WokenKeys) -> None:
    assert retries.failed("a", 100, cause="overload", retry_after=30) >= 30
    retries.failed("b", 100, cause="overload")
    retries.succeeded("b", 110)
    assert woken == [("a", 20)]
    assert (retries.server_wait("a", 110), retries.server_wait("a", 131), retries.server_wait("b", 110)) == (20, 0, 0)


def test_a_requested_wait_of_a_day_is_not_honored(retries: Retries) -> None:
    assert retries.failed("a", 0, cause="overload", retry_after=86_400) <= 300
    assert retries.server_wait("a", 301) == 0


def test_a_cause_that_is_over_wakes_all_keys_that_it_stopped(retries: Retries, woken: WokenKeys) -> None:
    for name in "ab":
        retries.failed(name, 0, cause="not seen")
    retries.cause_resolved("not seen", 1)
    retries.cause_resolved("", 1)
    assert woken == [("a", 0), ("b", 0)]


@pytest.mark.parametrize(("failing", "longest"), [(1, 20), (10, 20), (50, 100), (1000, 300)])
def test_a_few_failing_keys_are_retried_often_and_many_take_turns(failing: int, longest: float) -> None:
    backoff = ItemBackoff(floor=20, spacing=2, cap=300, rng=random.Random(0))
    waits = []
    for _ in range(14):
        waits = [backoff.failed(f"e{number}") for number in range(failing)]
    assert longest / 2 <= min(waits)
    assert max(waits) <= longest
