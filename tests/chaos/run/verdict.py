"""All judges on all that was recorded."""

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
    """What was found against the controller, by judge; nothing is good."""

    wrongs: dict[str, list[str]] = field(default_factory=dict)

    def add(self, judge: str, found: list[str]) -> None:
        self.wrongs[judge] = [*self.wrongs.get(judge, []), *found]

    @property
    def ok(self) -> bool:
        return not any(self.wrongs.values())


def of_records(evidence: Evidence, rest: float | None) -> Verdict:
    """Of what was recorded alone. `server_wait`: since when nothing should have been written; None: it never came to
    rest.
    """
    verdict = Verdict()
    verdict.add("nothing was deleted that was not to be", deletions.unrequested_deletions(evidence))
    verdict.add("what is somebody else's was not touched", standing.foreign_writes(evidence))
    verdict.add("users' intent was not overwritten", intents.overwritten(evidence))
    verdict.add("no write was lost", intents.lost_writes(evidence))
    verdict.add("promoted once", intents.promoted_twice(evidence))
    verdict.add("reports come in the leaders' order", intents.epochs_in_order(evidence))
    verdict.add("one roll-out for one change", rollouts.repeated_rollouts(evidence))
    verdict.add("only images that were asked for", rollouts.unrequested_images(evidence))
    verdict.add("gone when it is said to be", standing.reported_deleted_too_early(evidence))
    if rest is not None:
        verdict.add("silent at rest", standing.writes_at_rest(evidence, rest))
    return verdict


def add_programs(verdict: Verdict, ground: Environment, lease: float, spans: Iterable[FaultSpan]) -> list[LeaderWrite]:
    """What replicas have done, and how they fared; gives all their writes. `lease`: how long one holds, in seconds;
    `spans`: the faults.
    """
    for site in ground.sites:
        site.replica.look()
        verdict.add("no fault of the program's own", programs.logged_faults(site.replica.name, site.replica.lines()))
        verdict.add("no replica ended by itself", site.replica.unasked)
    verdict.add(
        "memory is bounded",
        programs.over_memory_limit({s.replica.name: s.replica.peak_mib for s in ground.sites}, _MOST_MIB),
    )
    users = [site.user for site in ground.sites]
    acts = sorted(
        (act for log in ground.audit_logs() for act in acting.leader_writes(log, users)), key=lambda act: act.received
    )
    in_time = [act for act in acts if act.proves_leadership or not delayed_writes(act, spans)]
    verdict.add("only the leader acted", acting.violations(in_time, lease))
    return acts
