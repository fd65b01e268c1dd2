"""Takes the screenshots of the status page for the documentation."""
