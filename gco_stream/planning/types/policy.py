"""Settings of the installation that affect plans, and the current limits on the fleet."""

from dataclasses import dataclass

from gco_stream.model.reasons import Reason
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of the installation that affect plans. Times are in seconds.

    `namespaces`: the allowed namespaces, the default one first. `table_arn`: the ARN of the home table.
    `status_heartbeat`: the interval of unchanged reports; 0 for none. `renderings`: the versions of the pod template
    that can be rendered.
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
        """The default namespace, for items without a namespace."""
        return self.namespaces[0]


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of the endpoints in this region.

    `running`: endpoints whose Ingress exists or is withdrawn. `withdrawn`: endpoints whose Ingress is withdrawn.
    """

    running: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class FleetState:
    """State of the whole region that limits the plan of one endpoint.

    `deletions_left`: how many endpoints may now be removed although their desired_state is not deleted.
    `next_deletion_in`: seconds until another endpoint may be removed, if none may be removed now.
    `removals_held`: why no removal may start without approval, whatever the budget; None if the budget decides.
    `names_claimed_by_others`: names of this endpoint's objects that another item claims as well. For example, the
    canary of `a` and the endpoint `a-canary` both claim the name `a-canary`.
    `ingress_path_owner`: the endpoint whose path overlaps this endpoint's path and takes precedence; None if there is
    none.
    `census`: None if it has not been taken; a plan that depends on it requests it in `missing_inputs`.
    """

    deletions_left: int = 5
    removals_held: Reason | None = None
    next_deletion_in: float = 3600.0
    names_claimed_by_others: frozenset[str] = frozenset()
    ingress_path_owner: str | None = None
    census: Census | None = None


def policy_of(settings: Settings, table_arn: str, renderings: Renderings = RENDERINGS) -> Policy:
    """Returns the policy for these settings. `table_arn` and `renderings`: as in `Policy`."""
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
