"""Under load no endpoint waits for another: not for a resync, a startup, a hanging call, a bad item or a busy item.

Small versions of the measurements of `python -m bench`. Each duration is compared with others of the same run, never
with a fixed limit.
"""

import bisect
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import pytest

from bench.accepted import writes
from bench.changes import Users
from bench.fleet import serve
from bench.items import item, name_of
from bench.load import under_load
from bench.place import Place, control_plane
from bench.program import Program
from bench.watching import DeploymentWatch
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model import wire
from tests.chaos.malformed import malformed_items
from tests.chaos.proxies.faulty_http import Action, Answer, Fault, FaultyProxy, Hang

pytestmark = pytest.mark.integration
WORKERS = 16
PATIENCE = 240.0
# Updates of the busy endpoint to wait for before measuring.
REWRITTEN = 100
NEVER = MappingProxyType({"RESYNC_INTERVAL_SECONDS": "86400"})


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    # No controllers run pods, so all load comes from the program.
    with control_plane(controllers=False) as plane:
        yield plane


def applied(watch: DeploymentWatch, users: Users, names: Sequence[str], replicas: int, pause: float = 0.05) -> float:
    """Returns the median seconds from a user's write to the Deployment's update; changes are made one by one."""
    changes = []
    for name in names:
        changes.append(users.scale(name, replicas))
        time.sleep(pause)
    return median(watch.seen(one.name, one.revision, PATIENCE) - one.sent for one in changes)


def best(watch: DeploymentWatch, users: Users, names: Sequence[str], replicas: range, pause: float = 0.05) -> float:
    """Returns the lowest median of several rounds: contention slows every round, a stall of the machine only one."""
    return min(applied(watch, users, names, count, pause) for count in replicas)


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def deployments(place: Place) -> dict[str, Any]:
    return {found["metadata"]["name"]: found for found in place.plane.kube.list(path_of("Deployment", place.namespace))}


def test_a_resync_does_not_slow_changes_and_load_leaks_nothing(plane: ControlPlane) -> None:
    place = Place(plane)
    serve(place, 120)
    found = under_load(place, 120, per_second=25, seconds=8, resync_seconds=1)
    during, others = found.during_scans(lead=0.1)
    assert min(len(during), len(others)) > 10
    assert median(during) < 2.5 * median(others)
    assert found.tasks[1] <= found.tasks[0]
    assert found.rss[1] - found.rss[0] < 20


def test_changes_do_not_wait_for_the_startup_backlog(plane: ControlPlane) -> None:
    place, count = Place(plane), 250
    place.fill(wire.encode({**item(number, place.namespace), "region_status": {}}) for number in range(count))
    # The program's scan returns items in the same order.
    last = [found["endpoint_name"]["S"] for found in place.table.scan(("endpoint_name",))][-20:]
    with DeploymentWatch(place) as watch, Users(place) as users, Program(place, NEVER) as program:
        changes = [users.scale(name, 3) for name in last]
        program.wait_idle(PATIENCE, also=lambda: len(deployments(place)) == count)
        # Counts the Deployments created in between instead of seconds, because the machine may stall.
        made = sorted(watch.seen(name, "", PATIENCE) for name in deployments(place))
        applied_at = {one.name: watch.seen(one.name, one.revision, PATIENCE) for one in changes}
        between = [bisect.bisect(made, applied_at[one.name]) - bisect.bisect(made, one.sent) for one in changes]
        assert median(between) < count / 3


def test_endpoints_with_hanging_or_failing_applies_delay_no_others(plane: ControlPlane, tmp_path: Path) -> None:
    place = Place(plane)
    serve(place, 60)
    names = [name_of(number) for number in range(60)]
    others, struck = (
        names[:20],
        {"hang": _deployments_of(place, names[20:40]), "fail": _deployments_of(place, names[40:])},
    )
    assert len(struck["hang"]) > WORKERS

    def strike(proxy: FaultyProxy, name: str, does: Action) -> None:
        proxy.inject(Fault(name, lambda request: request.method == "PATCH" and request.path in struck[name], does))

    with (
        FaultyProxy.before_kubernetes(plane.kubeconfig_for(place.user)) as proxy,
        DeploymentWatch(place) as watch,
        Users(place) as users,
        Program(place, {**NEVER, "KUBECONFIG": str(proxy.kubeconfig(tmp_path / "kubeconfig"))}) as program,
    ):
        program.wait_idle(PATIENCE)
        usual = applied(watch, users, others, 2)
        strike(proxy, "hang", Hang())
        strike(proxy, "fail", Answer(500))
        for name in names[20:]:
            users.scale(name, 2)
        until(lambda: all(proxy.injected[name] >= len(paths) for name, paths in struck.items()))
        # Detecting that the calls hang may cause a short delay; after that there must be none.
        applied(watch, users, others[:1], 3)
        assert best(watch, users, others, range(4, 7)) < 6 * usual
        # A graceful stop would wait for the hanging calls.
        program.process.kill()


def _deployments_of(place: Place, names: Sequence[str]) -> frozenset[str]:
    return frozenset(path_of("Deployment", place.namespace, name) for name in names)


def test_a_thousand_malformed_items_and_one_of_400_kb_delay_no_good_ones(plane: ControlPlane) -> None:
    place = Place(plane)
    good = [name_of(number) for number in range(20)]
    serve(place, len(good))
    big = item(len(good), place.namespace)
    big["spec"]["env"] = {f"CHUNK_{number}": "x" * 4000 for number in range(98)}
    malformed = malformed_items(1000, place.namespace, random.Random(1))
    place.fill([wire.encode(big), *malformed])
    with DeploymentWatch(place) as watch, Users(place) as users, Program(place, NEVER) as program:
        beside = applied(watch, users, good, 2)
        program.wait_idle(PATIENCE, also=lambda: program.status()["endpoints"] == len(good) + 1 + len(malformed))
        grown = users.scale(big["endpoint_name"], 2)
        usual = applied(watch, users, good, 3)
        watch.seen(grown.name, grown.revision, PATIENCE)
        assert beside < 6 * usual
        assert [line for line in program.reconciled() if line["result"] == "broken"] == []
    assert deployments(place).keys() == {*good, big["endpoint_name"]}


def test_the_last_image_of_a_constantly_rewritten_item_wins(
    plane: ControlPlane,
) -> None:
    place = Place(plane)
    others, busy = [name_of(number) for number in range(20)], name_of(20)
    serve(place, 21)
    spec = item(20, place.namespace)["spec"]
    spec["env"] |= {f"CHUNK_{number}": "x" * 4000 for number in range(25)}
    with (
        DeploymentWatch(place) as watch,
        Users(place) as users,
        ThreadPoolExecutor() as beside,
        Program(place, NEVER) as program,
    ):
        seen = place.table.get(busy)
        assert seen is not None
        place.table.replace_spec(seen, spec)
        usual = applied(watch, users, others, 2)
        program.wait_idle(PATIENCE)
        mark = plane.audit.mark()
        rewriting = beside.submit(users.at_pace, [busy], 50, 12, lambda number: 4 + number)
        until(lambda: deployments(place)[busy]["spec"]["replicas"] > REWRITTEN)
        rss = program.rss_mib()
        meanwhile = best(watch, users, others, range(3, 6), pause=0.1)
        changes = rewriting.result(PATIENCE)
        # Eight threads write at once, so the last write sent may not be the last one applied.
        last = wire.decode(place.table.get(busy) or {})
        watch.seen(busy, last["updated_at"], PATIENCE)
        replicas = last["spec"]["replicas"]
        program.wait_idle(PATIENCE, also=lambda: deployments(place)[busy]["spec"]["replicas"] == replicas)
        assert meanwhile < 6 * usual
        # All images of the item together take 60 MB.
        assert program.rss_mib() - rss < 45
        written = [one for one in writes(plane.audit.path, mark, place.user) if one.name == busy]
        # Images may be skipped, depending on the speed of the machine, but none is applied twice.
        assert len(written) <= len(changes)
        assert deployments(place)[busy]["spec"]["replicas"] == replicas
