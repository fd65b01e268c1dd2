"""A real browser for the page's tests and screenshots: where it comes from, and how it is driven."""
