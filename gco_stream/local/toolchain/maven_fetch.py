"""Fetches the artifacts in a lock file with jgo, a Maven client in Python: `python maven_fetch.py LOCK REPOSITORY`.

Runs as a separate program because jgo is installed in the cache and not in this Python environment. It imports nothing
from gco_stream. The caller verifies the checksums.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def main(lock: Path, repository: Path) -> None:
    """Fetches the artifacts in `lock` (lines of `<sha256>  <group>:<artifact>:<version>`) into a Maven repository."""
    import truststore  # type: ignore[import-not-found]  # noqa: PLC0415 - on sys.path only in this program

    # Uses the system's trust store, like pip: a company's certificate authority is there, but not in certifi.
    truststore.inject_into_ssl()
    from jgo.maven import MavenContext  # type: ignore[import-not-found]  # noqa: PLC0415 - must see the injection

    context = MavenContext(repo_cache=repository, timeout=60)

    def fetch(coordinates: str) -> None:
        group, artifact, version = coordinates.split(":")
        context.project(group, artifact).at_version(version).artifact().resolve()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, (line.split()[1] for line in lock.read_text().splitlines())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
