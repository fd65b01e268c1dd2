"""The status page. Read-only; it never shows the values of environment variables."""
