"""The reconcile loop and the state that it keeps in memory."""
