"""Checks of the cluster and the table for problems that prevent the controller from working."""
