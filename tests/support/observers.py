"""Observers that tests can read."""

from types import SimpleNamespace

from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.ops.metrics import Metrics


def observers(metrics: Metrics | None = None, history: ReconcileHistory | None = None) -> Observers:
    """Returns observers whose Events are dropped."""
    events = SimpleNamespace(publish=lambda _name, _outcome: None)
    return Observers(metrics or Metrics(), history or ReconcileHistory(), events)  # type: ignore[arg-type]  # a fake with only the methods that are called
