"""Turns an item and the live objects into a plan. Pure: no I/O and no clock."""
