"""Logging, metrics and process health."""
