"""Operations behind the administrative commands. They do not need to hold the Lease."""
