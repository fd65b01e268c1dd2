"""Computes plans from items and live objects, without I/O and without reading a clock."""
