"""What stands in the way of the controller here, and what mends it: looked at without a lease and without a change."""
