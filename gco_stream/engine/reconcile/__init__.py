"""Reconciliation of endpoints: planning, execution of plans, status reports and resyncs."""
