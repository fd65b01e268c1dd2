"""Comparison of image references, such as registry.example/team/serve:1.0."""

import re
from dataclasses import dataclass

_DEFAULT_TAG = "latest"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image reference without its registry. `tag` and `digest`: "" if the reference has none."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, image: str) -> "ImageReference":
        """Parses a valid reference. A reference without a tag and a digest has the tag `latest`."""
        name, _, digest = image.partition("@")
        path, _, tag = name.rpartition(":")
        if not path or "/" in tag:
            path, tag = name, ""
        first, slash, rest = path.partition("/")
        # As in github.com/distribution/reference: only a host contains one of these characters.
        repository = rest if slash and (re.search(r"[.:\[]", first) or first == "localhost") else path
        return cls(repository, tag or ("" if digest else _DEFAULT_TAG), digest)

    def has_repository_of(self, other: "ImageReference") -> bool:
        """Whether the repositories are the same. One may have a prefix, as in a pull-through cache."""
        one, two = f"/{self.repository}", f"/{other.repository}"
        return one.endswith(two) or two.endswith(one)

    def is_other_version_of(self, other: "ImageReference") -> bool:
        """Whether the tags or digests differ. A tag cannot be compared with a digest."""
        if self.digest and other.digest:
            return self.digest != other.digest
        return bool(self.tag and other.tag) and self.tag != other.tag
