"""The plan for one endpoint, with the report to write and the change to the table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.text import truncate
from gco_stream.planning.types.decision import Decided, FleetLimit, MissingInput, Note, RequeueAfter
from gco_stream.planning.types.steps import Step

MAX_ERROR = 2500


@dataclass(frozen=True, slots=True)
class Report:
    """The report of this region on an endpoint, to be written to the item's region_status.

    `ready` and `desired`: replicas of the main Deployment. `error`: may contain text from the API server, so it is made
    printable and truncated. `reason`: the code for `error`; None if there is no error. `warnings`: about the item.
    """

    state: RegionState
    ready: int = 0
    desired: int = 0
    error: str = ""
    reason: Reason | None = None
    warnings: tuple[Cause, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", truncate(self.error, MAX_ERROR))

    @classmethod
    def of(cls, state: RegionState, causes: Iterable[Cause] = (), *, ready: int = 0, desired: int = 0) -> "Report":
        """Returns a report with the reason of the first cause and the messages of all causes."""
        causes = tuple(causes)
        error = "; ".join(cause.message for cause in causes)
        return cls(state, ready, desired, error, causes[0].reason if causes else None)

    def __str__(self) -> str:
        words = f"{self.state}, {self.ready} of {self.desired} ready"
        return f"{words}: {self.error}" if self.error else words


class TableChange(StrEnum):
    """A change to the table that depends on the reports of all regions."""

    PROMOTE = "promote"
    PURGE = "purge"

    @property
    def description(self) -> str:
        """A description of the change for users."""
        if self is TableChange.PROMOTE:
            return "set desired_state to running: every target region runs the current spec"
        return "delete the item: the endpoint is deleted in every region"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for one endpoint in this region. The steps are executed in order.

    `report`: None if there is nothing to report. `write_report`: the report must be written now. `report_first`: it
    must be written before the steps are executed. `withheld`: the steps that a hold prevents. `warnings`: what needs
    attention. `missing_inputs`: inputs that the plan lacks; it omits all steps that depend on them. `limited_by`: the
    fleet-wide limit that prevents steps. `intent`: the digest of the desired state.
    """

    endpoint: str
    steps: tuple[Step, ...] = ()
    report: Report | None = None
    write_report: bool = False
    report_first: bool = False
    table_change: TableChange | None = None
    requeue_after: RequeueAfter | None = None
    withheld: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    warnings: tuple[Cause, ...] = ()
    missing_inputs: frozenset[MissingInput] = frozenset()
    limited_by: FleetLimit | None = None
    decided: Decided = field(default=Decided(), repr=False)
    intent: str = field(default="", repr=False)

    @property
    def all_warnings(self) -> tuple[Cause, ...]:
        """The warnings of the plan and those about the item."""
        return self.warnings + (self.report.warnings if self.report is not None else ())

    @property
    def in_sync(self) -> bool:
        """Whether the plan changes neither the objects nor the table."""
        return not self.steps and not self.write_report and self.table_change is None

    def lines(self) -> list[str]:
        """Returns the plan as lines of text."""
        lines = [str(step) for step in self.steps] or ["objects: in sync"]
        if self.report is not None:
            lines.append(f"{'report' if self.write_report else 'reported'} {self.report}")
        if self.table_change is not None:
            lines.append(self.table_change.description)
        if self.requeue_after is not None:
            lines.append(str(self.requeue_after))
        lines += [f"withheld: {step}" for step in self.withheld]
        return lines + [f"warning: {warning}" for warning in self.all_warnings] + list(map(str, self.notes))
