"""AWS sessions, credentials, errors and response parsing, shared by the table and the stream."""
