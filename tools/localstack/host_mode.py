"""Runs LocalStack without Docker, from its Python package, DynamoDB Local and a Java runtime.

It is the same release as in docker-compose.yml, with the same init script. It needs Python 3.13, from
LOCALSTACK_PYTHON, `python3.13` on PATH, pyenv or uv.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3

from gco_stream.local.progress import Progress
from gco_stream.local.toolchain.build import binaries
from gco_stream.local.toolchain.cache import Cache, default_cache, digest
from tools.localstack.jars import agent_jar, pointing_jar

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements" / "localstack.txt"
INIT = ROOT / "dev" / "localstack" / "ready.d"
_START_SECONDS = 180.0
_STOP_SECONDS = 20.0
_SERVER = "software.amazon.dynamodb.services.local.main.ServerRunner"


class NoPython(Exception):
    """No Python 3.13 was found. The message lists the places that were searched."""


def python() -> Path:
    """Finds Python 3.13. Raises NoPython."""
    given = os.environ.get("LOCALSTACK_PYTHON")
    candidates = [Path(given)] if given else [Path(found) for found in [shutil.which("python3.13")] if found]
    if not given:
        for folder in (Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions", _uv_folder()):
            candidates += sorted(folder.glob("*3.13*/bin/python3.13"), reverse=True)
    for candidate in candidates:
        command = [candidate, "-c", "import sys, venv, ssl; print('%d.%d' % sys.version_info[:2])"]
        with_venv = subprocess.run(command, capture_output=True, text=True, check=False) if candidate.exists() else None
        if with_venv is not None and with_venv.stdout.strip() == "3.13":
            return candidate
    raise NoPython(
        f"LOCALSTACK_PYTHON: invalid value {given}: must be the path of Python 3.13"
        if given
        else "LocalStack 4.14.0 needs Python 3.13, which was not found on PATH, in pyenv (pyenv install 3.13) or in uv "
        "(uv python install 3.13); LOCALSTACK_PYTHON is not set"
    )


def _uv_folder() -> Path:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")


def installed() -> Path:
    """Path of Python in a virtual environment with LocalStack, created once per machine, which takes a minute."""
    base = python()

    def fill(staging: Path) -> None:
        subprocess.run([base, "-m", "venv", staging / "venv"], check=True)
        subprocess.run(
            [
                *(staging / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"),
                *("--disable-pip-version-check", "--no-compile", "--require-hashes", "--requirement", REQUIREMENTS),
            ],
            check=True,
        )

    key = digest(REQUIREMENTS.read_bytes(), str(base.resolve()))
    return (
        Cache(default_cache(), Progress()).entry("localstack", key, "Installing LocalStack", fill) / "venv/bin/python"
    )


def furnish(root: Path, java: Path, jars: Path) -> None:
    """Creates the file system that LocalStack expects under `root`: DynamoDB Local, Java and the init script."""
    home = root / "usr" / "lib" / "localstack"
    dynamodb = home / "dynamodb-local" / "2"
    dynamodb.mkdir(parents=True)
    (dynamodb / "DynamoDBLocal_lib").symlink_to(jars)
    pointing_jar(
        dynamodb / "DynamoDBLocal.jar", _SERVER, [f"DynamoDBLocal_lib/{jar.name}" for jar in jars.glob("*.jar")]
    )
    # LocalStack starts the server with its own Java agent, which is not available here. This one does nothing.
    agent_jar(dynamodb / "ddb-local-loader-0.1.jar")
    (home / "java").mkdir()
    (home / "java" / "21").symlink_to(java.resolve().parents[1])
    init = root / "etc" / "localstack" / "init"
    init.mkdir(parents=True)
    (init / "ready.d").symlink_to(INIT)


def environment(root: Path, port: int) -> dict[str, str]:
    """Environment of LocalStack: the variables of docker-compose.yml and those that host mode needs."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(root),
        "FILESYSTEM_ROOT": str(root),
        "OVERRIDE_IN_DOCKER": "0",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "SERVICES": "dynamodb,dynamodbstreams",
        "PROVIDER_OVERRIDE_DYNAMODB": "v2",
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
        "DYNAMODB_IN_MEMORY": "1",
        "DYNAMODB_SHARE_DB": "1",
        "DISABLE_EVENTS": "1",
        "REGION": "us-east-1",
        "INFERENCE_ENDPOINTS_TABLE_NAME": "gco-inference-endpoints",
    }


@contextmanager
def localstack(root: Path, port: int) -> Iterator[str]:
    """Runs LocalStack on `port` while the block runs. Yields its URL once the init script is done.

    Its log is `root`/localstack.log.

    Raises:
        NoPython: no Python 3.13 was found.
        RuntimeError: it did not start. The message has the end of its log.
    """
    command = [installed(), "-m", "localstack.runtime.main"]
    parts = binaries(Cache(default_cache(), Progress()))
    furnish(root, parts.java, parts.dynamodb)
    log = root / "localstack.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment(root, port), cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _initialised(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"LocalStack did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _initialised(port: int) -> bool:
    with suppress(urllib3.exceptions.HTTPError):
        url = f"http://127.0.0.1:{port}/_localstack/init/ready"
        answer = urllib3.request("GET", url, timeout=2.0, retries=False)
        return answer.status == 200 and bool(answer.json().get("completed"))
    return False
