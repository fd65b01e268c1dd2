"""What can go wrong with the local control plane, each as one line that a person can act on."""


class LocalError(Exception):
    """The local control plane cannot do what was asked; the message says why and what to do."""


class BuildError(LocalError):
    """A binary could not be built or unpacked into the cache."""


class StartError(LocalError):
    """A server ended or did not become ready in time; the message holds the end of its log."""


class NotRunningError(LocalError):
    """There is no running control plane in the folder that was named."""


class AlreadyRunningError(LocalError):
    """The folder that was named already belongs to a running control plane."""


class KubeError(LocalError):
    """The API server refused a request: `status` is the HTTP status, `reason` and `message` are its Status object's."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
