"""What an error of any room means to whoever called the program: one line, and an exit code."""

from typing import Final

from gco_stream.cli.failure import CONFLICT, FAILED, NOT_FOUND, UNREACHABLE, USAGE, Failure
from gco_stream.cluster import errors as cluster
from gco_stream.table import errors as table

# The first that fits, so the narrower kinds stand before the wider ones.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (table.Gone, NOT_FOUND),
    (table.AlreadyExists, CONFLICT),
    (table.Changed, CONFLICT),
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


def failure_of(error: Exception) -> Failure | None:
    """The failure that an error of any room stands for; None for a fault of this program."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, table.TableMissing):
        return Failure(f"{error}; `gco-stream table create` makes one, --table and --region name another", NOT_FOUND)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Failure(str(error), code)
    # Imported late: each brings more than a command needs in order to show its help.
    from gco_stream.local.errors import LocalError
    from gco_stream.settings import SettingsError

    if isinstance(error, SettingsError):
        return Failure(str(error), USAGE)
    return Failure(str(error)) if isinstance(error, LocalError) else None
