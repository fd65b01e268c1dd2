"""Plans running, stopped, deleted and orphaned endpoints, their reports, and changes to the table."""
