"""What an installation decides for all its endpoints, and what the fleet as a whole allows at this moment."""

from dataclasses import dataclass

from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """An installation's settings, as far as decisions depend on them. Times are in seconds.

    `namespaces`: the allowed ones, the installation's own first. `table_arn`: the home table's. `renderings`: the pod
    templates that this program can make.
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
        """Where endpoints live that name no namespace."""
        return self.namespaces[0]


@dataclass(frozen=True, slots=True)
class Census:
    """How many endpoints of this region are to run and have a Deployment that is not at 0, and how many of these have
    had their Ingress withdrawn.
    """

    running: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class FleetState:
    """How the whole region stands: what limits one endpoint's plan because of all the others.

    `deletions_left`: endpoints that may still be removed now without `desired_state=deleted`, this one among them;
    `next_deletion_in`: seconds until there may be one more, where there is none now.
    `names_claimed_by_others`: names of this endpoint's objects that another item asks for (`a` with a canary, and
    `a-canary`): where an object does not say whose it is, it is not taken for this endpoint's.
    `census`: None where nobody has counted yet; a plan that needs it says so.
    """

    deletions_left: int = 5
    next_deletion_in: float = 3600.0
    names_claimed_by_others: frozenset[str] = frozenset()
    census: Census | None = None


def policy_of(settings: Settings, table_arn: str, renderings: Renderings = RENDERINGS) -> Policy:
    """The rules of planning that the settings give. `renderings`: the pod templates that can be made."""
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
