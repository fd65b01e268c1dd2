"""The work queue, retries and worker pool."""
