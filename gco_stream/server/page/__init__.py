"""The status page, which is read-only and never shows the values of environment variables."""
