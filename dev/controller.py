"""Runs the controller in the development container and restarts it when its sources change.

The kubeconfig that k3s writes has the address 127.0.0.1. Containers reach k3s by its service name instead.
"""

import os
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "gco_stream"


def reachable(kubeconfig: str, server: str) -> str:
    """Replaces the address of the API server in `kubeconfig` with `server`."""
    return kubeconfig.replace("https://127.0.0.1:6443", server)


def main() -> None:
    """Runs until the container stops."""
    from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - only the container has it

    kubeconfig = Path(tempfile.mkdtemp()) / "kubeconfig.yaml"
    kubeconfig.write_text(reachable(Path(os.environ["K3S_KUBECONFIG"]).read_text(), os.environ["K3S_SERVER"]))
    os.environ["KUBECONFIG"] = str(kubeconfig)
    run_process(
        SOURCES,
        target=f"{sys.executable} -m gco_stream run",
        target_type="command",
        watch_filter=PythonFilter(),
        # Gives the controller time to release the Lease, so that the next start leads at once.
        sigint_timeout=25,
    )


if __name__ == "__main__":
    main()
