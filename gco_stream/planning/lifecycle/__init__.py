"""What each desired state means: running, stopped, deleted, orphaned, and rollout completion."""
