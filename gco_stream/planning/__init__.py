"""The decision: from an item and what stands in the cluster to a plan. Pure: no I/O, no clock."""
