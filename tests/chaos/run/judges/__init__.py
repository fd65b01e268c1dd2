"""Pure functions of the records of a run: each returns its findings against the controller, one sentence each."""
