"""`python -m tools.metrics` generates docs/metrics.md and helm/gco-stream/dashboards/gco-stream.json."""

from tools.metrics.dashboard import DASHBOARD, dashboard
from tools.metrics.reference import REFERENCE, reference

REFERENCE.write_text(reference())
DASHBOARD.write_text(dashboard())
