"""Checks of the cluster and the table that find what keeps the controller from working."""
