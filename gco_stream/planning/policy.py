"""What an installation decides for all its endpoints, and what the fleet as a whole allows at this moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """An installation's settings, as far as decisions depend on them. Times are in seconds.

    `namespaces`: the allowed ones, the installation's own first. `table_arn`: the home table's.
    """

    region: str
    namespaces: tuple[str, ...]
    table_arn: str
    canary_drain: float = 30.0
    ingress_on_ready: bool = False
    honor_gpu_type: bool = False
    status_interval: float = 15.0
    status_heartbeat: float = 0.0

    @property
    def namespace(self) -> str:
        """Where endpoints live that name no namespace."""
        return self.namespaces[0]


@dataclass(frozen=True, slots=True)
class Fleet:
    """How the whole region stands: what limits one endpoint's plan because of all the others.

    `deletions_left`: endpoints that may still be removed this hour without `desired_state=deleted`.
    `claimed`: names of this endpoint's canary objects that another item asks for (`a` with a canary, and `a-canary`).
    """

    deletions_left: int = 5
    claimed: frozenset[str] = frozenset()
