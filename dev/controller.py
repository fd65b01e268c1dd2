"""Runs the controller in the development container and starts it again when its sources change.

k3s writes a kubeconfig that names itself 127.0.0.1; here it is reached by the name of its service.
"""

import os
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "gco_stream"


def reachable(kubeconfig: str, server: str) -> str:
    """`kubeconfig` with the API server's address replaced by `server`."""
    return kubeconfig.replace("https://127.0.0.1:6443", server)


def main() -> None:
    """Until the container is stopped."""
    from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - only the container has it

    kubeconfig = Path(tempfile.mkdtemp()) / "kubeconfig.yaml"
    kubeconfig.write_text(reachable(Path(os.environ["K3S_KUBECONFIG"]).read_text(), os.environ["K3S_SERVER"]))
    os.environ["KUBECONFIG"] = str(kubeconfig)
    run_process(
        SOURCES,
        target=f"{sys.executable} -m gco_stream run",
        target_type="command",
        watch_filter=PythonFilter(),
        # The lease is released in that time, so that the next start leads at once.
        sigint_timeout=25,
    )


if __name__ == "__main__":
    main()
