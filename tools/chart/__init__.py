"""Generates the chart's values.schema.json and the tables of its README."""
