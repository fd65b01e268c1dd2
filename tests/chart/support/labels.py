"""Labels of the chart's pods."""

SELECTOR = {
    "app.kubernetes.io/name": "gco-stream",
    "app.kubernetes.io/instance": "gco-stream",
    "app.kubernetes.io/component": "controller",
}
