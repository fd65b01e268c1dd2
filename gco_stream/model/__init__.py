"""What an endpoint is: its item, spec, region status, names and their limits. Does no I/O."""
