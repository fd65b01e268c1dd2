"""What of the chart is made and not written: values.schema.json, and the tables of its README."""
