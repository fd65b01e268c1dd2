"""Panels of the generated dashboard."""

import json
from typing import Any

from tools.metrics.dashboard import DASHBOARD

MADE: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in MADE["panels"] if panel["type"] != "row"]
