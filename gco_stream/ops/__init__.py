"""Logging, metrics and the HTTP server."""
