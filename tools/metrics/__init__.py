"""Generates docs/metrics.md and the chart's Grafana dashboard from the code."""
