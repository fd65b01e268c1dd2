"""The failure of a command, its exit codes, and the conversion of errors from other packages."""

from typing import Final

from gco_stream.aws import errors as aws
from gco_stream.cluster.api import errors as cluster

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
UNREACHABLE = 5


class CommandError(Exception):
    """The failure of a command. The message is shown to the user; `code` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


# The first match applies, so subclasses come before their base classes.
_EXIT_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (aws.ItemNotFound, NOT_FOUND),
    (aws.AlreadyExists, CONFLICT),
    (aws.ConcurrentUpdate, CONFLICT),
    (aws.Contended, CONFLICT),
    (aws.Unreachable, UNREACHABLE),
    (aws.Throttled, UNREACHABLE),
    (aws.AWSError, FAILED),
    (cluster.Unreachable, UNREACHABLE),
    (cluster.ServerError, UNREACHABLE),
    (cluster.TooManyRequests, UNREACHABLE),
    (cluster.NotFound, NOT_FOUND),
    (cluster.Conflict, CONFLICT),
    (cluster.ClusterError, FAILED),
)


def command_error_of(error: Exception) -> CommandError | None:
    """Returns the failure for an expected error. Returns None for any other error, which indicates a bug."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, aws.NotFound):
        return CommandError(
            f"{error}; `gco-stream table create` creates it, --table and --region select another", NOT_FOUND
        )
    for kind, code in _EXIT_CODES:
        if isinstance(error, kind):
            return CommandError(str(error), code)
    # Imported only when needed, because importing pydantic for the settings would slow down `--help`.
    from gco_stream.local.errors import LocalError
    from gco_stream.settings import SettingsError

    if isinstance(error, SettingsError):
        return CommandError(str(error), USAGE)
    return CommandError(str(error)) if isinstance(error, LocalError) else None
