"""Checks the text of the Dockerfile. tests/integration/operations/test_image.py runs its steps."""

import re

import pytest

from dev.image_by_hand import ROOT, context, stages

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = stages(DOCKERFILE)


def test_images_run_as_a_numeric_non_root_user() -> None:
    for name in ("run", "dev"):
        user, _, group = STAGES[name].last("USER").partition(":")
        assert user.isdigit()
        assert group.isdigit()
        assert int(user) > 0


def test_the_image_has_no_build_tools() -> None:
    words = [word for word, _ in STAGES["run"].instructions]
    assert "RUN" not in words
    assert [rest for word, rest in STAGES["run"].instructions if word == "COPY"] == [
        "--from=build /opt/gco-stream /opt/gco-stream"
    ]


def test_every_package_is_pinned_by_hash() -> None:
    installs = [
        rest for stage in STAGES.values() for word, rest in stage.instructions if word == "RUN" and "install --" in rest
    ]
    assert len(installs) == 6
    assert [one for one in installs if "--require-hashes" not in one and "--no-deps --no-index" not in one] == []
    named = set(re.findall(r"requirements/\w+\.txt", DOCKERFILE))
    assert [name for name in named if "--hash=sha256:" not in (ROOT / name).read_text()] == []
    assert {STAGES[name].last("ENV").count("PIP_ONLY_BINARY=:all:") for name in ("build", "sbom-build")} == {1}


def test_the_image_has_the_same_packages_as_the_tests() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z][\w.\[\]-]*==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("run.txt") <= pins("dev.txt")


@pytest.mark.parametrize("label", ["title", "description", "licenses", "version", "revision"])
def test_the_image_has_labels(label: str) -> None:
    assert f"org.opencontainers.image.{label}=" in STAGES["run"].last("LABEL")


def test_the_build_context_has_only_the_needed_files() -> None:
    files = context(ROOT)
    assert "gco_stream/settings.py" in files
    assert "tools/controlplane/go.mod" in files
    assert [file for file in files if file.startswith(("tests/", "docs/", "bench/", ".git", "tools/audit"))] == []
    assert [file for file in files if "__pycache__" in file] == []


def test_the_sbom_is_a_target() -> None:
    assert STAGES["sbom"].base == "scratch"
    assert "cyclonedx-py" in " ".join(rest for _, rest in STAGES["sbom-build"].instructions)
