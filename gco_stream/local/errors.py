"""Errors of the local control plane. Each message is one line that a person can act on."""


class LocalError(Exception):
    """An operation on the local control plane failed. The message says why and what to do."""


class BuildError(LocalError):
    """A binary could not be built or unpacked into the cache."""


class StartError(LocalError):
    """A server exited or did not become ready in time. The message has the end of its log."""


class NotRunningError(LocalError):
    """No control plane is running in the given folder."""


class AlreadyRunningError(LocalError):
    """The given folder already belongs to a running control plane."""


class KubeError(LocalError):
    """The API server rejected a request. `status` is the HTTP status; `reason` and `message` come from its Status."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
