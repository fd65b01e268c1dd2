"""Operations behind the administrative commands. They need no lease."""
