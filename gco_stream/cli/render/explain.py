"""How an explanation is shown: text for somebody who is paged, JSON for programs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import typer

from gco_stream.cli import output

if TYPE_CHECKING:
    from gco_stream.planning.explain.explanation import Explanation, RegionReport
    from gco_stream.planning.explain.object_status import ObjectVerdict
    from gco_stream.planning.types.plan import Plan, Report

_LABEL: Final = 11
_LONG: Final = 40
_GOOD: Final = "green"
_BAD: Final = "bold red"
_CARE: Final = "yellow"
_QUIET: Final = "dim"
_COLOURS: Final = {"InSync": _GOOD, "WouldDelete": _BAD, "NotOwned": _BAD, "NotNeeded": _QUIET}
_STATES: Final = {"running": _GOOD, "error": _BAD, "stopped": _QUIET, "deleted": _QUIET}
_SHORT: Final = {"HorizontalPodAutoscaler": "HPA"}


def headline(one: "Explanation") -> str:
    """The first line of an endpoint: its name and the verdict."""
    colour = _GOOD if one.as_asked and not one.is_held else _CARE if one.as_asked else _BAD
    return f"{typer.style(one.endpoint, bold=True)}: {_styled(one.headline, colour)}"


def in_full(one: "Explanation", now: datetime) -> Iterator[str]:
    """Everything about one endpoint, a line each."""
    yield headline(one)
    for label, value in one.asked.items():
        yield _labelled(label, f"{value} ({output.age(value, now)} ago)" if label == "updated" else value)
    yield from _regions(one, now)
    yield from objects(one)
    yield from _ahead(one)


def in_short(one: "Explanation") -> Iterator[str]:
    """The verdict, and only what is done, held, or would be changed by an upgrade."""
    yield headline(one)
    yield from objects(one, all_of_them=False)
    if one.plan.write_report and one.plan.report is not None:
        yield _labelled("report", f"would be written: {_told(one.plan.report, one)}")
    if one.plan.table_change is not None:
        yield _labelled("table", f"would {one.plan.table_change.description}")
    yield from (_warning(str(warning)) for warning in one.plan.warnings)


def objects(one: "Explanation", *, all_of_them: bool = True) -> Iterator[str]:
    """A line an object, and below it a line for every detail."""
    shown = [verdict for verdict in one.objects if all_of_them or _matters(verdict)]
    if all_of_them:
        yield ""
    if not one.objects and all_of_them:
        yield _labelled("objects", "none of its own stands here")
    if not shown:
        return
    namespaces = {verdict.ref.namespace for verdict in one.objects}
    names = [_name(verdict, with_namespace=len(namespaces) > 1) for verdict in shown]
    kind_width = max(len(_kind(verdict)) for verdict in shown)
    name_width = max(map(len, names))
    for verdict, name in zip(shown, names, strict=True):
        why = _why(verdict, one)
        told = _styled(verdict.verdict.words, _COLOURS.get(verdict.verdict, _CARE))
        start = f"  {_kind(verdict):<{kind_width}}  {name:<{name_width}}  "
        yield start + told + (f": {why}" if why else "")
        for line in _details(verdict):
            yield " " * len(start) + line


def unclaimed(name: str, made: "Plan") -> Iterator[str]:
    """A name of which objects stand without an item, and what becomes of them."""
    yield f"{typer.style(name, bold=True)}: {_styled('the table has no such item, but objects of it stand here', _BAD)}"
    if made.steps:
        yield "  once two scans in a row have not found the item:"
    yield from (f"  would {step}" for step in made.steps)
    yield from (f"  {note}" for note in made.notes)
    yield from (_warning(str(warning)) for warning in made.warnings)


def orphan_as_json(made: "Plan") -> dict[str, Any]:
    """The plan of a name that has no item."""
    return {
        "steps": [str(step) for step in made.steps],
        "notes": list(map(str, made.notes)),
        "warnings": _warnings_as_json(made),
    }


def as_json(one: "Explanation") -> dict[str, Any]:
    """The explanation and its plan as plain values; see `gco-stream explain --help` for the keys."""
    made: Plan = one.plan
    return {
        "in_sync": made.in_sync,
        "as_asked": one.as_asked,
        "reason": None if one.cause is None else str(one.cause.reason),
        "headline": one.headline,
        "hold": one.hold,
        "asked": one.asked,
        "regions": {report.region: _region_as_json(report) for report in one.reports},
        "objects": [_object_as_json(verdict) for verdict in one.objects],
        "steps": [str(step) for step in made.steps],
        "report": None if made.report is None else str(made.report),
        "write_report": made.write_report,
        "table_change": made.table_change,
        "agreement": one.agreement or None,
        "waits_for": one.waits_for,
        "look_again_seconds": made.look_again.after if made.look_again else None,
        "look_again_why": made.look_again.why if made.look_again else None,
        "withheld": [str(step) for step in made.withheld],
        "notes": list(map(str, made.notes)),
        "warnings": _warnings_as_json(made),
    }


def _warnings_as_json(made: "Plan") -> list[dict[str, str]]:
    return [{"reason": str(warning.reason), "message": warning.message} for warning in made.warnings]


def _region_as_json(report: "RegionReport") -> dict[str, Any]:
    status = report.status
    return {
        "here": report.here,
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


def _object_as_json(verdict: "ObjectVerdict") -> dict[str, Any]:
    return {
        "kind": str(verdict.ref.kind),
        "namespace": verdict.ref.namespace,
        "name": verdict.ref.name,
        "verdict": str(verdict.verdict),
        "why": verdict.why,
        "details": verdict.details,
        "reason": verdict.reason,
        "otherwise": verdict.otherwise,
        "upgrade": verdict.upgrade,
    }


def _regions(one: "Explanation", now: datetime) -> Iterator[str]:
    if not one.reports:
        return
    yield ""
    width = max(len(report.region) for report in one.reports)
    for report in one.reports:
        age = "-" if report.status is None else output.age(report.status.last_sync, now)
        since = "" if age == "-" else f", {age} ago"
        marks = [*(["this region"] if report.here else []), *([] if report.is_target else ["not a target"])]
        behind = f" ({', '.join(marks)})" if marks else ""
        yield f"  {report.region:<{width}}  {_reported(report, since)}{behind}"


def _reported(report: "RegionReport", since: str) -> str:
    if report.status is None:
        return _styled(str(report), _QUIET)
    state = report.status.state
    error = f": {report.status.error}" if report.status.error else ""
    return f"{_styled(state, _STATES.get(state, _CARE))}, {report.counts}{since}{error}"


def _ahead(one: "Explanation") -> Iterator[str]:
    made: Plan = one.plan
    yield ""
    if made.report is not None:
        yield _labelled(
            "report", f"{'would be written' if made.write_report else 'as it is written'}: {_told(made.report, one)}"
        )
    if made.table_change is not None:
        yield _labelled("table", f"would {made.table_change.description}")
    for number, waits in enumerate(one.waits_for):
        yield _labelled(one.agreement if not number else "", f"waits for {waits}")
    if made.look_again is not None:
        yield _labelled("looks again", f"in {_span(made.look_again.after)}: {made.look_again.why}")
    else:
        yield _labelled("looks again", "when something changes, and at the next resync")
    for note in one.notes:
        yield _labelled("note", note)
    yield from (_warning(str(warning)) for warning in made.warnings if warning != one.cause)


def _details(verdict: "ObjectVerdict") -> Iterator[str]:
    if verdict.otherwise is not None:
        yield f"otherwise it {verdict.otherwise.words}:"
    yield from verdict.details
    if verdict.upgrade:
        yield "an upgrade would change, and so restart its pods:"
        yield from verdict.upgrade
    elif verdict.upgrade is not None:
        yield "an upgrade would change nothing of its pods"


def _matters(verdict: "ObjectVerdict") -> bool:
    return verdict.verdict.acts or verdict.otherwise is not None or bool(verdict.upgrade)


def _why(verdict: "ObjectVerdict", one: "Explanation") -> str:
    """The reason, unless it is long and the first line has just said it."""
    is_shown = len(verdict.why) > _LONG and one.cause is not None and verdict.why == one.cause.message
    return "for the reason above" if is_shown else verdict.why


def _told(report: "Report", one: "Explanation") -> str:
    is_shown = len(report.error) > _LONG and one.cause is not None and report.error == one.cause.message
    return str(replace(report, error="for the reason above") if is_shown else report)


def _kind(verdict: "ObjectVerdict") -> str:
    return _SHORT.get(str(verdict.ref.kind), str(verdict.ref.kind))


def _name(verdict: "ObjectVerdict", *, with_namespace: bool) -> str:
    return f"{verdict.ref.namespace}/{verdict.ref.name}" if with_namespace else verdict.ref.name


def _labelled(label: str, value: str) -> str:
    return f"  {label:<{_LABEL}}  {value}"


def _warning(text: str) -> str:
    return f"  {_styled('warning'.ljust(_LABEL), _CARE)}  {text}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _styled(text: str, colour: str) -> str:
    if colour == _QUIET:
        return typer.style(text, dim=True)
    return typer.style(text, fg=colour.removeprefix("bold "), bold=True if "bold" in colour else None)
