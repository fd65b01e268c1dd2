"""Rules that change or block a plan: canary, watchdog, contested objects, stuck finalizers."""
