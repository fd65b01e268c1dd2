"""Reconciles endpoints: plans, executes the plan, reports the status, and resyncs."""
