import pytest

from gco_stream.model.image_reference import ImageReference

D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("serve", ("serve", "latest", "")),
        ("team/serve:1.0", ("team/serve", "1.0", "")),
        ("registry.example/team/serve:1.0", ("team/serve", "1.0", "")),
        ("registry.example:5000/serve", ("serve", "latest", "")),
        ("localhost/serve:1", ("serve", "1", "")),
        ("[2001:db8::1]:5000/serve:1", ("serve", "1", "")),
        (f"registry.example/serve@{D1}", ("serve", "", D1)),
        (f"registry.example/serve:1.0@{D1}", ("serve", "1.0", D1)),
    ],
)
def test_a_reference_is_split_without_its_registry(image: str, parts: tuple[str, str, str]) -> None:
    found = ImageReference.parse(image)
    assert (found.repository, found.tag, found.digest) == parts


@pytest.mark.parametrize(
    ("one", "other", "same_repository", "other_version"),
    [
        ("eu.example/serve:1.0", "us.example/serve:1.0", True, False),
        ("eu.example/cache/team/serve:1.0", "team/serve:1.0", True, False),
        ("eu.example/serve:1.0", "us.example/serve:1.1", True, True),
        ("eu.example/serve", "us.example/serve:latest", True, False),
        ("eu.example/myserve:1.0", "us.example/serve:1.0", False, False),
        (f"eu.example/serve@{D1}", f"us.example/serve@{D2}", True, True),
        (f"eu.example/serve:1@{D1}", f"us.example/serve:2@{D1}", True, False),
        # A tag and a digest may be the same image.
        (f"eu.example/serve@{D1}", "us.example/serve:1.0", True, False),
    ],
)
def test_repositories_and_versions_are_compared(
    one: str, other: str, same_repository: bool, other_version: bool
) -> None:
    for first, second in ((one, other), (other, one)):
        left, right = ImageReference.parse(first), ImageReference.parse(second)
        assert left.has_repository_of(right) is same_repository
        assert left.is_other_version_of(right) is other_version
