"""What an error of any room means to whoever called the program: one line, and an exit code.

How a command says that it cannot do what was asked: one line, and an exit code that means something.
"""

from typing import Final

from gco_stream.aws import table_errors as table
from gco_stream.cluster.api import errors as cluster

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
UNREACHABLE = 5


class CommandError(Exception):
    """A command failed; the message is all that a person needs, and `code` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


# The first that fits, so the narrower kinds stand before the wider ones.
_EXIT_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (table.ItemNotFound, NOT_FOUND),
    (table.AlreadyExists, CONFLICT),
    (table.ConcurrentUpdate, CONFLICT),
    (table.Contended, CONFLICT),
    (table.TableUnreachable, UNREACHABLE),
    (table.TableThrottled, UNREACHABLE),
    (table.TableError, FAILED),
    (cluster.Unreachable, UNREACHABLE),
    (cluster.ServerError, UNREACHABLE),
    (cluster.TooManyRequests, UNREACHABLE),
    (cluster.NotFound, NOT_FOUND),
    (cluster.Conflict, CONFLICT),
    (cluster.ClusterError, FAILED),
)


def command_error_of(error: Exception) -> CommandError | None:
    """The failure that an error of any room stands for; None for a fault of this program."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, table.TableMissing):
        return CommandError(
            f"{error}; `gco-stream table create` makes one, --table and --region name another", NOT_FOUND
        )
    for kind, code in _EXIT_CODES:
        if isinstance(error, kind):
            return CommandError(str(error), code)
    # Imported late: each brings more than a command needs in order to show its help.
    from gco_stream.local.errors import LocalError
    from gco_stream.settings import SettingsError

    if isinstance(error, SettingsError):
        return CommandError(str(error), USAGE)
    return CommandError(str(error)) if isinstance(error, LocalError) else None
