"""How a command says that it cannot do what was asked: one line, and an exit code that means something."""

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
UNREACHABLE = 5


class Failure(Exception):
    """A command failed; the message is all that a person needs, and `code` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
