"""Explanations of plans for operators, with the status of each object and the fields that differ."""
