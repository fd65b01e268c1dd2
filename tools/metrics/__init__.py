"""Makes docs/metrics.md and the Grafana dashboard of the chart from the code."""
