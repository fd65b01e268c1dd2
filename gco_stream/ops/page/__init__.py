"""The status page: what the controller knows, for people who look. Read-only, and never the value of a variable."""
