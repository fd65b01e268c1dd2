"""The work queue with its dispatcher, retries and worker pool."""
