"""The reconcile loop with its work queue, deletion safeguards and in-memory state."""
