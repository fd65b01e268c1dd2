"""Policies that plans follow: canary, health watchdog, contested objects, stuck finalizers and other blockers."""
