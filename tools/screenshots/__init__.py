"""Makes the pictures of the status page that the documentation shows."""
