"""Applies all judges to everything that was recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.leadership import audited_writes as acting
from tests.chaos.leadership.audited_writes import LeaderWrite
from tests.chaos.run.environment import Environment
from tests.chaos.run.judges import cluster_state as standing
from tests.chaos.run.judges import deletions, intents, programs, rollouts
from tests.chaos.run.judges.delayed_writes import delayed_writes
from tests.chaos.run.records.evidence import Evidence, FaultSpan

_MOST_MIB = 400.0


@dataclass
class Verdict:
    """The findings against the controller, by judge; a judge without findings is satisfied."""

    wrongs: dict[str, list[str]] = field(default_factory=dict)

    def add(self, judge: str, found: list[str]) -> None:
        self.wrongs[judge] = [*self.wrongs.get(judge, []), *found]

    @property
    def ok(self) -> bool:
        return not any(self.wrongs.values())


def of_records(evidence: Evidence, rest: float | None) -> Verdict:
    """Judges the records alone.

    `rest`: the time from which there must be no writes; None if the run never came to rest.
    """
    verdict = Verdict()
    verdict.add("no unrequested deletions", deletions.unrequested_deletions(evidence))
    verdict.add("no writes to foreign objects", standing.foreign_writes(evidence))
    verdict.add("no overwritten user intent", intents.overwritten(evidence))
    verdict.add("no lost writes", intents.lost_writes(evidence))
    verdict.add("one promotion per change", intents.promoted_twice(evidence))
    verdict.add("reports in the order of leaders", intents.epochs_in_order(evidence))
    verdict.add("one rollout per change", rollouts.repeated_rollouts(evidence))
    verdict.add("only requested images", rollouts.unrequested_images(evidence))
    verdict.add("no objects left when reported deleted", standing.reported_deleted_too_early(evidence))
    if rest is not None:
        verdict.add("no writes at rest", standing.writes_at_rest(evidence, rest))
    return verdict


def add_programs(verdict: Verdict, ground: Environment, lease: float, spans: Iterable[FaultSpan]) -> list[LeaderWrite]:
    """Judges the replicas' writes and processes; returns all their writes.

    `lease`: the lease duration in seconds. `spans`: the faults.
    """
    for site in ground.sites:
        site.replica.look()
        verdict.add("no bugs in the program's log", programs.logged_faults(site.replica.name, site.replica.lines()))
        verdict.add("no unexpected exits", site.replica.unasked)
    verdict.add(
        "bounded memory",
        programs.over_memory_limit({s.replica.name: s.replica.peak_mib for s in ground.sites}, _MOST_MIB),
    )
    users = [site.user for site in ground.sites]
    acts = sorted(
        (act for log in ground.audit_logs() for act in acting.leader_writes(log, users)), key=lambda act: act.received
    )
    in_time = [act for act in acts if act.proves_leadership or not delayed_writes(act, spans)]
    verdict.add("only the leader writes", acting.violations(in_time, lease))
    return acts
