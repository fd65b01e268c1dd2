"""In-memory cache of the cluster's objects, kept current by list and watch."""
