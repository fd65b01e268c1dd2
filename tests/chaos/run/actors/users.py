"""Users: each step has its own seed, so runs with the same seed attempt the same steps."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gco_stream.aws.errors import AWSError
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable
from tests.chaos.run.actors.roster import ELSEWHERE, IMAGE, Place, Roster
from tests.chaos.run.records.evidence import Action
from tests.chaos.run.records.journal import ActionLog

SCALING = {"enabled": True, "min_replicas": 1, "max_replicas": 3}
# A few images recur among new ones, like a rollback.
_KNOWN_IMAGES = 3
_SLOW = ("", "", "", "", "", "-ready-after-1s", "-ready-after-2s")

Write = Callable[[], Any]


class TableActors:
    """Writes items as GCO's tools and the CLI do."""

    def __init__(
        self, table: SyncEndpointTable, client: Any, name: str, roster: Roster, history: ActionLog, seed: int
    ) -> None:
        self._table = table
        self._client = client
        self._table_name = name
        self._roster = roster
        self._journal = history
        self._seed = seed
        self.writes = 0

    def create_all(self) -> None:
        """Creates every endpoint of the roster."""
        for place in self._roster.places:
            rng = random.Random(f"{self._seed}:item:{place.name}")
            self._do("create", place.name, self._creation(place, rng))

    def act(self, number: int) -> None:
        """Performs the user step with this number on the current item."""
        rng = random.Random(f"{self._seed}:user:{number}")
        place = rng.choice(self._roster.touched)
        try:
            seen = self._table.get(place.name)
        except (AWSError, ClientError, BotoCoreError):
            return
        what, write = self._choice(rng, number, place, seen)
        self._do(what, place.name, write)

    def release_all(self, share: float, rng: random.Random) -> None:
        """Releases a share of the held endpoints."""
        for seen in list(self._table.scan()):
            if "hold" in seen and rng.random() < share:
                self._do("release", seen["endpoint_name"]["S"], partial(self._table.release, seen))

    def _creation(self, place: Place, rng: random.Random) -> Write:
        return lambda: self._table.create(self._roster.item(place, rng))

    def _choice(self, rng: random.Random, number: int, place: Place, seen: wire.WireItem | None) -> tuple[str, Write]:
        if seen is None:
            return "create anew", self._creation(place, rng)
        plain = wire.decode(seen)
        state, spec = plain["desired_state"], dict(plain["spec"])
        if state == "deleted":
            return rng.choice(
                (
                    ("take back the deletion", self._state(seen, "deploying")),
                    ("read it", lambda: None),
                    ("delete again", self._state(seen, "deleted")),
                )
            )
        if self._is_broken(spec) and rng.random() < 0.7:
            return "mend", self._spec(seen, spec, port=8000)
        if "hold" in plain and rng.random() < 0.4:
            return "release", lambda: self._table.release(seen)
        if self._roster.region not in plain["target_regions"] and rng.random() < 0.6:
            return "regain the region", self._regions(seen, spec, self._roster.region)
        if state == "stopped" and rng.random() < 0.6:
            return "start", self._state(seen, "deploying")
        return rng.choice(self._changes(rng, number, seen, spec))

    def _changes(
        self, rng: random.Random, number: int, seen: wire.WireItem, spec: dict[str, Any]
    ) -> list[tuple[str, Write]]:
        canary = dict(spec.get("canary") or {})
        tag = f"k{rng.randrange(_KNOWN_IMAGES)}" if rng.random() < 0.3 else f"u{number}"
        image = f"{IMAGE}:{tag}{rng.choice(_SLOW)}"
        more = {"image": f"{IMAGE}:c{number}", "weight": rng.choice((5, 20, 50, 0)), "replicas": rng.choice((1, 2))}
        found = [
            ("new image", self._spec(seen, spec, image=image)),
            ("new image", self._spec(seen, spec, image=image)),
            ("new environment", self._spec(seen, spec, env={"WHO": str(number)})),
            ("scale", lambda: self._table.scale(seen, rng.choice((0, 1, 2, 3)))),
            ("scale", lambda: self._table.scale(seen, rng.choice((1, 2, 3)))),
            ("autoscaling off", self._spec(seen, spec, autoscaling=None))
            if spec.get("autoscaling")
            else ("autoscaling on", self._spec(seen, spec, autoscaling=SCALING)),
            ("stop", self._state(seen, "stopped")),
            ("delete", self._state(seen, "deleted")),
            ("lose the region", self._regions(seen, spec, ELSEWHERE)),
            ("hold", lambda: self._table.hold(seen, "somebody looks into it")),
            ("break the spec", self._spec(seen, spec, port=99999)),
        ]
        if canary:
            found += [
                ("promote the canary", self._spec(seen, spec, image=canary["image"], canary=None)),
                ("promote the canary", self._spec(seen, spec, image=canary["image"], canary=None)),
                ("remove the canary", self._spec(seen, spec, canary=None)),
                ("canary's weight", self._spec(seen, spec, canary={**canary, "weight": rng.choice((0, 10, 60, 100))})),
            ]
        else:
            found += [("add a canary", self._spec(seen, spec, canary=more))] * 3
        if rng.random() < 0.1:
            found = [("take the item out by hand", lambda: self._remove(seen))]
        return found

    def _is_broken(self, spec: dict[str, Any]) -> bool:
        return spec.get("port") == 99999

    def _state(self, seen: wire.WireItem, state: str) -> Write:
        return lambda: self._table.set_state(seen, state)

    def _spec(self, seen: wire.WireItem, spec: dict[str, Any], **changes: Any) -> Write:
        wanted = {key: value for key, value in {**spec, **changes}.items() if value is not None}
        return lambda: self._table.replace_spec(seen, wanted)

    def _regions(self, seen: wire.WireItem, spec: dict[str, Any], *regions: str) -> Write:
        return lambda: self._table.replace_spec(seen, spec, target_regions=list(regions))

    def _remove(self, seen: wire.WireItem) -> None:
        self._client.delete_item(TableName=self._table_name, Key={"endpoint_name": seen["endpoint_name"]})

    def _do(self, what: str, name: str, write: Write) -> None:
        began, mark, failed = time.time(), "", ""
        try:
            written = write()
            if isinstance(written, dict):
                mark = written.get("updated_at", {}).get("S", "")
            self.writes += 1
        except (AWSError, ClientError, BotoCoreError) as error:
            failed = str(error)
        self._journal.record_action(Action(began, time.time(), "user", what, name, mark=mark, failed=failed))
