"""The leader's in-memory state: cached items, sync tokens, fleet census and reconcile history."""
