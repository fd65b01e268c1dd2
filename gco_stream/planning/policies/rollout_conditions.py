"""Rollouts that do not advance, according to the conditions that Kubernetes sets on the Deployment.

Reported texts leave out names of pods and amounts in use. These change with every attempt, and each change of a report
is written to the table.
"""

import re
from collections.abc import Iterator
from typing import Any

from gco_stream.model.objects import ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.resources.deployment import rolled_out

_POD_NAME = re.compile(r'^pods "[^"]*" (is forbidden: )?')
_IN_USE = re.compile(r", used: .*", re.DOTALL)


def blocked_rollout(observed: ObservedObject) -> Iterator[Cause]:
    """Yields why the rollout of a Deployment does not advance; nothing if it has rolled out or advances."""
    if rolled_out(observed):
        return
    conditions = {one.get("type"): one for one in observed.status.get("conditions", ())}
    failure, progress = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
    if failure.get("status") == "True":
        yield Cause(Reason.PODS_REJECTED, f"{observed.ref}: its pods cannot be created: {_stable(failure)}")
    if progress.get("status") == "False":
        seconds = observed.spec.get("progressDeadlineSeconds", 600)
        message = f"{observed.ref}: its rollout has not progressed for {seconds} s; its pods are not ready"
        yield Cause(Reason.ROLLOUT_STALLED, message)


def _stable(condition: dict[str, Any]) -> str:
    message = str(condition.get("message", ""))
    return _IN_USE.sub("", _POD_NAME.sub("", message)) or str(condition.get("reason", "no reason is given"))
