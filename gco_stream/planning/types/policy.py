"""Settings of the installation that affect plans, and the current limits on the whole fleet."""

from dataclasses import dataclass

from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of an installation that decisions depend on. Times are in seconds.

    `namespaces`: the allowed namespaces, the default one first. `table_arn`: ARN of the home table. `renderings`: the
    known renderings of the pod template.
    """

    region: str
    namespaces: tuple[str, ...]
    table_arn: str
    canary_drain: float = 30.0
    unhealthy_threshold: float = 300.0
    honor_gpu_type: bool = False
    status_interval: float = 15.0
    status_heartbeat: float = 0.0
    renderings: Renderings = RENDERINGS

    @property
    def namespace(self) -> str:
        """The namespace of endpoints whose item has none."""
        return self.namespaces[0]


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over the endpoints of this region.

    `running`: endpoints that should run and whose Deployment is not scaled to 0. `withdrawn`: those of them whose
    Ingress is withdrawn.
    """

    running: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class FleetState:
    """State of the whole region that limits the plan of one endpoint.

    `deletions_left`: how many endpoints, including this one, may still be removed now without `desired_state=deleted`.
    `next_deletion_in`: if none may, seconds until one more may.
    `names_claimed_by_others`: names of this endpoint's objects that another item needs too (`a` with a canary, and
    `a-canary`). Such an object belongs to this endpoint only if its annotation says so.
    `census`: None if not counted yet; a plan that depends on it requests it in `missing_inputs`.
    """

    deletions_left: int = 5
    next_deletion_in: float = 3600.0
    names_claimed_by_others: frozenset[str] = frozenset()
    census: Census | None = None


def policy_of(settings: Settings, table_arn: str, renderings: Renderings = RENDERINGS) -> Policy:
    """Returns the planning policy for these settings. `renderings`: the pod template versions that can be rendered."""
    return Policy(
        region=settings.region,
        namespaces=settings.namespaces,
        table_arn=table_arn,
        canary_drain=settings.canary_drain_seconds,
        unhealthy_threshold=settings.inference_unhealthy_threshold_seconds,
        honor_gpu_type=settings.honor_gpu_type,
        status_interval=settings.status_interval_seconds,
        status_heartbeat=settings.status_heartbeat_seconds,
        renderings=renderings,
    )
