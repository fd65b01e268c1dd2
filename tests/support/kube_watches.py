"""Connections for tests that read watches; KubeApi reads only complete responses."""

import base64
import ssl
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson
import urllib3


def watch_client(kubeconfig: Path, most: int) -> tuple[str, urllib3.PoolManager]:
    """API server URL from a control plane's kubeconfig, and a pool of up to `most` connections as its user."""
    config = orjson.loads(kubeconfig.read_bytes())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with NamedTemporaryFile() as file:
        # ssl loads client certificates only from files.
        file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    return cluster["server"], urllib3.PoolManager(maxsize=most, ssl_context=context, retries=False)
