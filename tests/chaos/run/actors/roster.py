"""The endpoints of a run: where each lives, and which of them are never changed."""

import random
from dataclasses import dataclass
from typing import Any

ELSEWHERE = "eu-west-1"
IMAGE = "registry.example/serve"
_OTHER_NAMESPACE_EVERY = 5
_LEFT_ALONE_EVERY = 8
_SQUATTED = 2


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint of the run.

    `left_alone`: it is created once and never changed. `squatted`: a foreign Service has the name of its own.
    """

    name: str
    namespace: str
    left_alone: bool = False
    squatted: bool = False


class Roster:
    """`count` endpoints in two namespaces; the first is the installation's own."""

    def __init__(self, count: int, namespaces: tuple[str, str], region: str) -> None:
        self.region = region
        self.namespaces = namespaces
        self.places = tuple(
            Place(
                f"e{number:03d}",
                namespaces[number % _OTHER_NAMESPACE_EVERY == 1],
                left_alone=number % _LEFT_ALONE_EVERY == 3,
                squatted=number < _SQUATTED,
            )
            for number in range(count)
        )
        self.by_name = {place.name: place for place in self.places}

    @property
    def touched(self) -> list[Place]:
        return [place for place in self.places if not place.left_alone and not place.squatted]

    def item(self, place: Place, rng: random.Random) -> dict[str, Any]:
        """Returns a new item, without the attributes that every creation adds."""
        spec: dict[str, Any] = {
            "image": f"{IMAGE}:1.{rng.randrange(3)}",
            "replicas": rng.choice((1, 1, 2)),
            "gpu_count": 0,
            "env": {"WHO": place.name},
        }
        return {
            "endpoint_name": place.name,
            "target_regions": [self.region],
            "namespace": place.namespace,
            "spec": spec,
            "ingress_path": f"/inference/{place.name}",
        }
