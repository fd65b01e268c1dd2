"""The HTTP server: health probes, metrics and the status page."""
