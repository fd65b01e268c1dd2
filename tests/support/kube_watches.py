"""Streams of the Kubernetes API as tests read them: KubeApi's answers are whole, a watch's is not."""

import base64
import ssl
from pathlib import Path
from tempfile import NamedTemporaryFile

import orjson
import urllib3


def watch_client(kubeconfig: Path, most: int) -> tuple[str, urllib3.PoolManager]:
    """The server of a control plane's kubeconfig, and connections to it as its user: `most` at once."""
    config = orjson.loads(kubeconfig.read_bytes())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with NamedTemporaryFile() as file:
        # ssl reads a client's certificate from a file only.
        file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    return cluster["server"], urllib3.PoolManager(maxsize=most, ssl_context=context, retries=False)
