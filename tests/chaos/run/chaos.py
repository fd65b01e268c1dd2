"""One complete run: start, chaos, quiet, rest, verdict."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gco_stream.aws.errors import AWSError
from gco_stream.local.errors import KubeError
from tests.chaos.run import verdict
from tests.chaos.run.actors.cluster_edits import ClusterActors
from tests.chaos.run.actors.faults import ON_THE_WAY, Faults, plan_faults
from tests.chaos.run.actors.users import TableActors
from tests.chaos.run.environment import NAMESPACES, TABLE, Environment, prepared_environment
from tests.chaos.run.figures import by_kind, statistics
from tests.chaos.run.judges import cluster_state as standing
from tests.chaos.run.judges import final_state as ending
from tests.chaos.run.records import gather
from tests.chaos.run.verdict import Verdict

_START_PATIENCE = 180.0
# After a crash of the API server, the ReplicaSet controller may wait for pods that were never created: five minutes
# (ExpectationsTimeout in k8s.io/kubernetes/pkg/controller). The program has no part in that.
_PODS_PATIENCE = 330.0
_LOOK_EVERY = 1.0
_SHARE_RELEASED = 0.7
_EXPLAIN_SECONDS = 90.0
# Rest begins after this many seconds without writes, or at the latest after the patience.
_QUIET_SECONDS = 3.0
_QUIET_PATIENCE = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of a run. `pace` is the number of user writes per second; cluster edits are half as frequent.

    `patience`: seconds to converge after the faults end. `rest`: seconds without writes after that. `lease`: the lease
    duration in seconds. `kinds`: only these kinds of faults. `code`: a folder with another version of the program.
    """

    seed: int
    seconds: float
    endpoints: int
    replicas: int
    pace: float
    patience: float
    rest: float
    folder: Path
    lease: int = 10
    kinds: frozenset[str] | None = None
    code: Path | None = None


@dataclass
class Result:
    """The outcome of a run."""

    verdict: Verdict = field(default_factory=Verdict)
    figures: dict[str, str] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)


def run(plan: Plan, say: Say) -> Result:
    """Performs a run; start, quiet and rest come on top of `plan.seconds`."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    dice = plan.seed if plan.kinds is None or plan.kinds & ON_THE_WAY else None
    with prepared_environment(plan.folder, plan.endpoints, plan.replicas, plan.lease, dice, plan.code) as ground:
        say(f"control plane and table are ready after {time.monotonic() - began:.0f} s")
        return _Run(plan, ground, say).run()


class _Run:
    def __init__(self, plan: Plan, ground: Environment, say: Say) -> None:
        self._plan = plan
        self._ground = ground
        self._say = say
        self._over = threading.Event()
        roster, history = ground.roster, ground.journal
        self._users = TableActors(ground.table, ground.client, TABLE, roster, history, plan.seed)
        self._hands = ClusterActors(ground.plane.kube, roster, history, plan.seed)
        self._faults = Faults(ground.plane, ground.sites, NAMESPACES[0], ground.cluster_log.holder, history)
        self._result = Result()

    def run(self) -> Result:
        self._start()
        began = time.time()
        self._chaos()
        quiet = time.time()
        settled = self._settle()
        rest = self._rest() if settled is not None else None
        self._judge(began, quiet, settled, rest)
        return self._result

    def _start(self) -> None:
        self._hands.create_foreign_objects()
        for site in self._ground.sites:
            site.replica.start()
        self._users.create_all()
        deadline = time.monotonic() + _START_PATIENCE
        while not any(site.replica.status().get("working") for site in self._ground.sites):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no replica is working: {self._ground.sites[0].replica.tail()}")
            time.sleep(0.1)
        self._say(f"{self._plan.endpoints} endpoints in the table, {self._plan.replicas} replicas with a leader")

    def _chaos(self) -> None:
        actors = [
            threading.Thread(target=self._keep, args=(self._users.act, "users", self._plan.pace), name="users"),
            threading.Thread(target=self._keep, args=(self._hands.act, "hands", self._plan.pace / 2), name="hands"),
        ]
        for actor in actors:
            actor.start()
        began = time.monotonic()
        coming = plan_faults(self._plan.seed, self._plan.seconds, self._plan.replicas, self._plan.kinds)
        next_look = next_words = began
        try:
            while (now := time.monotonic()) < began + self._plan.seconds:
                while coming and now >= began + coming[0].at:
                    self._faults.begin(coming.pop(0))
                if now >= next_look:
                    self._look()
                    next_look = now + _LOOK_EVERY
                if now >= next_words:
                    self._progress(now - began)
                    next_words = now + max(5.0, self._plan.seconds / 20)
                time.sleep(0.02)
        finally:
            self._over.set()
            for actor in actors:
                actor.join()
            self._faults.end()

    def _keep(self, act: Callable[[int], None], who: str, pace: float) -> None:
        """Performs one action after another, at random times."""
        rng = random.Random(f"{self._plan.seed}:pace:{who}")
        number, due = 0, time.monotonic()
        while not self._over.is_set():
            due += rng.expovariate(pace)
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            act(number)
            number += 1

    def _look(self) -> None:
        self._faults.restart_ended()
        for site in self._ground.sites:
            site.replica.look()

    def _progress(self, elapsed: float) -> None:
        holder = self._ground.cluster_log.holder().partition("_")[0] or "nobody"
        faults = sum(self._faults.counts.values())
        self._say(
            f"{elapsed:5.0f} s  {faults:4} faults  {self._users.writes:5} user writes  {self._hands.done:4} by hand  "
            f"{len(self._ground.table_log.changes()):6} records  {holder} leads"
        )

    def _settle(self) -> float | None:
        """Returns when everything was in the desired state; None if it never was."""
        self._say("quiet: all faults and writes have ended")
        self._hands.heal_pods()
        self._users.release_all(_SHARE_RELEASED, random.Random(f"{self._plan.seed}:release"))
        began = time.monotonic()
        wrong: list[str] = []
        while (waited := time.monotonic() - began) < self._plan.patience + _PODS_PATIENCE:
            self._look()
            with suppress(KubeError, AWSError, ConnectionError, TimeoutError, subprocess.TimeoutExpired):
                wrong = self._out_of_sync()
                if not wrong:
                    settled = time.time()
                    wrong = self._not_in_sync()
                    if not wrong:
                        self._say(
                            "the cluster is in the desired state, by an independent check and a fresh plan per endpoint"
                        )
                        return settled
                if waited > self._plan.patience and not ending.lacks_pods(self._ground.objects()):
                    break
            time.sleep(_LOOK_EVERY)
        self._result.verdict.add(
            f"the cluster is in the desired state within {self._plan.patience:g} s of quiet", wrong
        )
        return None

    def _out_of_sync(self) -> list[str]:
        ground, foreign = self._ground, frozenset(self._hands.foreign)
        items, objects = ground.items(), ground.objects()
        known = [place.name for place in ground.roster.places]
        found = ending.out_of_sync(items, objects, ground.roster.region, NAMESPACES, known, foreign)
        return found + ending.leftovers(objects, known, foreign)

    def _not_in_sync(self) -> list[str]:
        """Returns what `gco-stream explain --all` would still change."""
        command = [sys.executable, "-m", "gco_stream", "explain", "--all", "-o", "json"]
        done = subprocess.run(
            command,
            env=dict(self._ground.environment),
            cwd=self._plan.code,
            capture_output=True,
            check=False,
            timeout=_EXPLAIN_SECONDS,
        )
        try:
            found = json.loads(done.stdout)
        except json.JSONDecodeError:
            return [f"explain: {done.stderr.decode()[-300:]}"]
        places = self._ground.roster.by_name
        # A snapshot does not include objects without our labels: those that block a name, and those of an invalid item
        # that lost them, which are left unchanged.
        hidden = ending.without_labels(self._ground.objects())
        plans = [
            f"{name}: a fresh plan has {one['steps']}, {one['report']}"
            for name, one in found["endpoints"].items()
            if not one["in_sync"] and not places[name].squatted and name not in hidden
        ]
        return plans + [f"{name}: exists without an item" for name in found["unclaimed"] if name in places]

    def _rest(self) -> float:
        """Waits for rest; returns the time from which there must be no writes."""
        began = time.time()
        while (now := time.time()) < began + _QUIET_PATIENCE:
            recorded = gather.evidence(self._ground, began, began, now, self._hands.foreign)
            if now > began + _QUIET_SECONDS and not standing.writes_at_rest(recorded, now - _QUIET_SECONDS):
                break
            self._look()
            time.sleep(_LOOK_EVERY)
        rest = time.time()
        deadline = time.monotonic() + self._plan.rest
        while time.monotonic() < deadline:
            self._look()
            time.sleep(_LOOK_EVERY)
        return rest

    def _judge(self, began: float, quiet: float, settled: float | None, rest: float | None) -> None:
        ground, result = self._ground, self._result
        self._say("judging")
        recorded = gather.evidence(ground, began, quiet, time.time(), self._hands.foreign)
        alive = [site.replica.name for site in ground.sites if not site.replica.running]
        judged = verdict.of_records(recorded, rest)
        acts = verdict.add_programs(judged, ground, self._plan.lease, recorded.spans)
        for judge, found in judged.wrongs.items():
            result.verdict.add(judge, found)
        result.verdict.add("foreign objects are unchanged", self._hands.changed_foreign_objects())
        result.verdict.add("every replica is running", [f"{name} is not running" for name in alive])
        result.verdict.add("processes exit when asked to", [*self._faults.late, *self._stop()])
        struck = self._faults.affected_requests()
        logs = {site.replica.name: site.replica.lines() for site in ground.sites}
        peaks = {site.replica.name: site.replica.peak_mib for site in ground.sites}
        burnt = sum(site.replica.burnt for site in ground.sites)
        result.figures = statistics(recorded, acts, self._faults.counts, struck, logs, peaks, burnt, settled)
        result.faults = by_kind(Counter(self._faults.counts), struck)

    def _stop(self) -> list[str]:
        codes = {site.replica.name: site.replica.stop() for site in self._ground.sites}
        return [f"{name} exited with {code} after SIGTERM at rest" for name, code in codes.items() if code != 0]
