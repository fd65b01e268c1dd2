"""Draws images of the Grafana dashboard for the documentation, without Grafana."""
