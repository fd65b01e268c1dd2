"""Formatting of explanations, as lines of text and as JSON-compatible values."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from gco_stream.cli import output

if TYPE_CHECKING:
    from gco_stream.planning.explain.explanation import Explanation
    from gco_stream.planning.explain.object_status import ObjectStatus
    from gco_stream.planning.lifecycle.health import RegionHealth
    from gco_stream.planning.types.plan import Plan, Report

_LABEL_WIDTH: Final = 11
# Messages longer than this are not repeated if the summary line already contains them.
_LONG: Final = 40
_GOOD: Final = "green"
_BAD: Final = "bold red"
_WARN: Final = "yellow"
_QUIET: Final = "dim"
_COLOURS: Final = {"InSync": _GOOD, "WouldDelete": _BAD, "NotOwned": _BAD, "NotNeeded": _QUIET}
_STATES: Final = {"running": _GOOD, "error": _BAD, "stopped": _QUIET, "deleted": _QUIET}
_SHORT: Final = {"HorizontalPodAutoscaler": "HPA"}


def headline(one: "Explanation") -> str:
    """Returns the summary line of an endpoint."""
    colour = _GOOD if one.in_desired_state and not one.is_held else _WARN if one.in_desired_state else _BAD
    return f"{typer.style(one.endpoint, bold=True)}: {_styled(one.headline, colour)}"


def in_full(one: "Explanation", now: datetime) -> Iterator[str]:
    """Yields the lines of the full explanation of one endpoint."""
    yield headline(one)
    for label, value in one.desired.items():
        yield _labelled(label, f"{value} ({output.age(value, now)} ago)" if label == "updated" else value)
    yield from _regions(one, now)
    yield from objects(one)
    yield from _plan_lines(one)


def in_short(one: "Explanation") -> Iterator[str]:
    """Yields the lines of the short explanation of one endpoint.

    These are the summary, the objects that would change, are held or have an upgrade, the writes to the table, and the
    warnings.
    """
    yield headline(one)
    yield from objects(one, all_of_them=False)
    if one.plan.write_report and one.plan.report is not None:
        yield _labelled("report", f"would be written: {_report(one.plan.report, one)}")
    if one.plan.table_change is not None:
        yield _labelled("table", f"would {one.plan.table_change.description}")
    yield from (_warning(str(warning)) for warning in one.plan.all_warnings)


def objects(one: "Explanation", *, all_of_them: bool = True) -> Iterator[str]:
    """Yields one line per object, each followed by one line per detail.

    `all_of_them`: whether to include objects that would not change, are not held and have no upgrade.
    """
    shown = [status for status in one.objects if all_of_them or _is_noteworthy(status)]
    if all_of_them:
        yield ""
    if not one.objects and all_of_them:
        yield _labelled("objects", "none exist here")
    if not shown:
        return
    namespaces = {status.ref.namespace for status in one.objects}
    names = [_name(status, with_namespace=len(namespaces) > 1) for status in shown]
    kind_width = max(len(_kind(status)) for status in shown)
    name_width = max(map(len, names))
    for status, name in zip(shown, names, strict=True):
        message = _message(status, one)
        label = _styled(status.state.text, _COLOURS.get(status.state, _WARN))
        start = f"  {_kind(status):<{kind_width}}  {name:<{name_width}}  "
        yield start + label + (f": {message}" if message else "")
        for line in _details(status):
            yield " " * len(start) + line


def orphan_lines(name: str, plan: "Plan") -> Iterator[str]:
    """Yields the lines for a name that has live objects but no item, including the steps that would remove them."""
    yield f"{typer.style(name, bold=True)}: {_styled('the table has no such item, but its objects exist here', _BAD)}"
    if plan.steps:
        yield "  after two consecutive scans without the item:"
    yield from (f"  would {step}" for step in plan.steps)
    yield from (f"  {note}" for note in plan.notes)
    yield from (_warning(str(warning)) for warning in plan.all_warnings)


def orphan_as_json(plan: "Plan") -> dict[str, Any]:
    """Returns the plan for a name without an item, as JSON-compatible values."""
    return {
        "steps": [str(step) for step in plan.steps],
        "notes": list(map(str, plan.notes)),
        "warnings": _warnings_as_json(plan),
    }


def as_json(one: "Explanation") -> dict[str, Any]:
    """Returns the explanation and its plan as JSON-compatible values.

    `gco-stream explain --help` documents the keys.
    """
    plan: Plan = one.plan
    return {
        "in_sync": plan.in_sync,
        "in_desired_state": one.in_desired_state,
        "reason": None if one.cause is None else str(one.cause.reason),
        "headline": one.headline,
        "hold": one.hold,
        "desired": one.desired,
        "regions": {report.region: _region_as_json(report, one) for report in one.reports},
        "objects": [_object_as_json(status) for status in one.objects],
        "steps": [str(step) for step in plan.steps],
        "report": None if plan.report is None else str(plan.report),
        "write_report": plan.write_report,
        "table_change": plan.table_change,
        "pending_table_change": one.pending_change or None,
        "waits_for": one.waits_for,
        "requeue_after_seconds": plan.requeue_after.after if plan.requeue_after else None,
        "requeue_message": plan.requeue_after.message if plan.requeue_after else None,
        "withheld": [str(step) for step in plan.withheld],
        "notes": list(map(str, plan.notes)),
        "warnings": _warnings_as_json(plan),
    }


def _warnings_as_json(plan: "Plan") -> list[dict[str, str]]:
    return [{"reason": str(warning.reason), "message": warning.message} for warning in plan.all_warnings]


def _region_as_json(report: "RegionHealth", one: "Explanation") -> dict[str, Any]:
    status = report.status
    return {
        "is_local": report.region == one.region,
        "is_target": report.is_target,
        "outdated": report.outdated,
        "unreadable": report.unreadable,
        "state": None if status is None else str(status.state),
        "replicas_ready": None if status is None else status.replicas_ready,
        "replicas_desired": None if status is None else status.replicas_desired,
        "last_sync": None if status is None else status.last_sync,
        "error": None if status is None else status.error,
        "reason": (status.reason or None) if status is not None else None,
    }


def _object_as_json(status: "ObjectStatus") -> dict[str, Any]:
    return {
        "kind": str(status.ref.kind),
        "namespace": status.ref.namespace,
        "name": status.ref.name,
        "status": str(status.state),
        "message": status.message,
        "details": status.details,
        "reason": status.reason,
        "status_if_not_held": status.without_limits,
        "upgrade": status.upgrade,
    }


def _regions(one: "Explanation", now: datetime) -> Iterator[str]:
    if not one.reports:
        return
    yield ""
    width = max(len(report.region) for report in one.reports)
    for report in one.reports:
        age = "-" if report.status is None else output.age(report.status.last_sync, now)
        since = "" if age == "-" else f", {age} ago"
        is_local = report.region == one.region
        tags = [*(["this region"] if is_local else []), *([] if report.is_target else ["not a target"])]
        behind = f" ({', '.join(tags)})" if tags else ""
        yield f"  {report.region:<{width}}  {_reported(report, since)}{behind}"


def _reported(report: "RegionHealth", since: str) -> str:
    if report.status is None:
        return _styled(str(report), _QUIET)
    state = report.status.state
    error = f": {report.status.error}" if report.status.error else ""
    return f"{_styled(state, _STATES.get(state, _WARN))}, {report.counts}{since}{error}"


def _plan_lines(one: "Explanation") -> Iterator[str]:
    plan: Plan = one.plan
    yield ""
    if plan.report is not None:
        yield _labelled(
            "report", f"{'would be written' if plan.write_report else 'up to date'}: {_report(plan.report, one)}"
        )
    if plan.table_change is not None:
        yield _labelled("table", f"would {plan.table_change.description}")
    for number, waits in enumerate(one.waits_for):
        yield _labelled(one.pending_change if not number else "", f"waits for {waits}")
    if plan.requeue_after is not None:
        yield _labelled("next check", f"in {_span(plan.requeue_after.after)}: {plan.requeue_after.message}")
    else:
        yield _labelled("next check", "on the next change or resync")
    for note in one.notes:
        yield _labelled("note", note)
    yield from (_warning(str(warning)) for warning in plan.all_warnings if warning != one.cause)


def _details(status: "ObjectStatus") -> Iterator[str]:
    if status.without_limits is not None:
        yield f"if not held, it {status.without_limits.text}:"
    yield from status.details
    if status.upgrade:
        yield "an upgrade would restart its pods and change:"
        yield from status.upgrade
    elif status.upgrade is not None:
        yield "an upgrade would not change its pods"


def _is_noteworthy(status: "ObjectStatus") -> bool:
    return status.state.acts or status.without_limits is not None or bool(status.upgrade)


def _message(status: "ObjectStatus", one: "Explanation") -> str:
    """Returns the message, or "see above" if it is long and already in the summary line."""
    is_shown = len(status.message) > _LONG and one.cause is not None and status.message == one.cause.message
    return "see above" if is_shown else status.message


def _report(report: "Report", one: "Explanation") -> str:
    is_shown = len(report.error) > _LONG and one.cause is not None and report.error == one.cause.message
    return str(replace(report, error="see above") if is_shown else report)


def _kind(status: "ObjectStatus") -> str:
    return _SHORT.get(str(status.ref.kind), str(status.ref.kind))


def _name(status: "ObjectStatus", *, with_namespace: bool) -> str:
    return f"{status.ref.namespace}/{status.ref.name}" if with_namespace else status.ref.name


def _labelled(label: str, value: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}  {value}"


def _warning(text: str) -> str:
    return f"  {_styled('warning'.ljust(_LABEL_WIDTH), _WARN)}  {text}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _styled(text: str, colour: str) -> str:
    if colour == _QUIET:
        return typer.style(text, dim=True)
    return typer.style(text, fg=colour.removeprefix("bold "), bold=True if "bold" in colour else None)
