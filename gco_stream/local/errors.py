"""Errors of the local control plane. The command line shows their messages to the user."""


class LocalError(Exception):
    """An operation on the local control plane failed. The message gives the reason."""


class BuildError(LocalError):
    """A binary could not be built or unpacked into the cache."""


class StartError(LocalError):
    """No port is free, or a server exited, did not become ready or could not be suspended in time."""


class NotRunningError(LocalError):
    """No control plane is running in the given folder."""


class AlreadyRunningError(LocalError):
    """The given folder already belongs to a running control plane."""


class KubeError(LocalError):
    """The API server rejected a request. `status`: the HTTP status code. `reason`, `message`: from the response."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
