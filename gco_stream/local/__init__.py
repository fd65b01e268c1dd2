"""A local control plane on one machine, for the demo, development and tests."""
