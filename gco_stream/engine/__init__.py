"""What turns: the work queue, desired state, workers, resync, and their start and stop."""
