"""Explains a plan to people, object by object and field by field."""
