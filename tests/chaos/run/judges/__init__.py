"""Pure functions of what was recorded: each returns what it holds against the controller, a sentence each."""
