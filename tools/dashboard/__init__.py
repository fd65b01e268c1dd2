"""Draws the Grafana dashboard's picture for the documentation, where there is no Grafana."""
