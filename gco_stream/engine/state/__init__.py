"""What the leader knows: items, sync tokens, the fleet census and reconcile history."""
