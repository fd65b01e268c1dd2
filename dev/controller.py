"""Runs the controller in the development container and starts it again when its sources change.

k3s writes a kubeconfig that names itself 127.0.0.1; here it is reached by the name of its service.
"""

import os
import sys
from pathlib import Path

KUBECONFIG = Path("/tmp/kubeconfig.yaml")  # noqa: S108 - the container's own, and its only writable folder


def reachable(kubeconfig: str, server: str) -> str:
    """`kubeconfig` with the API server's address replaced by `server`."""
    return kubeconfig.replace("https://127.0.0.1:6443", server)


def main() -> None:
    """Until the container is stopped."""
    from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - only the container has it

    KUBECONFIG.write_text(reachable(Path(os.environ["K3S_KUBECONFIG"]).read_text(), os.environ["K3S_SERVER"]))
    KUBECONFIG.chmod(0o600)
    os.environ["KUBECONFIG"] = str(KUBECONFIG)
    run_process(
        "/src/gco_stream",
        target=f"{sys.executable} -m gco_stream run",
        target_type="command",
        watch_filter=PythonFilter(),
        # The lease is released in that time, so that the next start leads at once.
        sigint_timeout=25,
    )


if __name__ == "__main__":
    main()
