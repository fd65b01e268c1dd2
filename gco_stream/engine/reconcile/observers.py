"""The observers of a leader's work, which do not influence it."""

from dataclasses import dataclass

from gco_stream.engine.reconcile.event_publisher import EventPublisher
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.ops.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Observers:
    """Metrics, the history that the status page shows, and Kubernetes Events."""

    metrics: Metrics
    history: ReconcileHistory
    events: EventPublisher
