"""I7: what an approval of deletions covers, and for how long."""

from typing import Final

from tests.mutants.mutant import Mutant

APPROVALS: Final = (
    Mutant(
        name="an-approval-of-one-is-of-all",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="return bool(uids) and self.any and entry_of(name, uids) in self._entries",
        new="return bool(uids) and self.any",
        breaks="approving one removal approves all removals",
        tests=("tests/engine/deletion/test_approvals.py::test_an_approval_covers_exactly_the_approved_objects",),
    ),
    Mutant(
        name="an-approval-covers-what-was-made-since",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="return short_digest(name, *sorted(uids))",
        new="return short_digest(name)",
        breaks="objects created after the list was shown are deleted as well",
        tests=(
            "tests/engine/deletion/test_approvals.py::test_an_entry_identifies_a_name_and_exactly_these_objects",
            "tests/engine/deletion/test_approvals.py::test_an_approval_covers_exactly_the_approved_objects",
            "tests/engine/deletion/test_approvals.py::test_an_approval_does_not_cover_objects_that_were_created_later",
        ),
    ),
    Mutant(
        name="an-approval-holds-for-ever",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="return 0 < self._until - self._now() <= VALID_SECONDS + _MAX_CLOCK_SKEW",
        new="return self._until > 0",
        breaks="a month-old approval permits a deletion today",
        tests=(
            "tests/engine/deletion/test_approvals.py::test_an_approval_expires_after_an_hour_despite_clock_skew",
            "tests/engine/deletion/test_approvals.py::test_an_expired_approval_is_removed_from_the_lease",
        ),
    ),
    Mutant(
        name="an-approval-of-any-date-is-believed",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="return 0 < self._until - self._now() <= VALID_SECONDS + _MAX_CLOCK_SKEW",
        new="return 0 < self._until - self._now()",
        breaks="a hand-written annotation approves removals for years",
        tests=("tests/engine/deletion/test_approvals.py::test_an_approval_expires_after_an_hour_despite_clock_skew",),
    ),
    Mutant(
        name="what-has-begun-may-grow",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="if uids and uids <= started and self._now() < until:",
        new="if uids and uids & started and self._now() < until:",
        breaks="an object that appears during an approved removal is deleted with it",
        tests=(
            "tests/engine/deletion/test_approvals.py::test_a_started_removal_stays_covered_but_new_objects_are_not",
        ),
    ),
    Mutant(
        name="what-has-begun-is-approved-for-ever",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="if uids and uids <= started and self._now() < until:",
        new="if uids and uids <= started:",
        breaks="a removal that was not completed within its hour continues by itself days later",
        tests=(
            "tests/engine/deletion/test_approvals.py::test_a_started_removal_stays_covered_but_new_objects_are_not",
        ),
    ),
    Mutant(
        name="an-approval-of-any-form-is-read",
        invariant="I7",
        file="gco_stream/engine/deletion/approvals.py",
        old="if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):",
        new="if entries is not None:",
        breaks="an annotation that is not a list is accepted as one",
        tests=("tests/engine/deletion/test_approvals.py::test_a_malformed_approval_approves_nothing",),
    ),
    Mutant(
        name="what-is-approved-waits-for-the-budget",
        invariant="I7",
        file="gco_stream/engine/deletion/guard.py",
        old="        if not uids or self._approvals.covers(inputs.name, uids):\n",
        new="        if not uids:\n",
        breaks="an approved removal still waits for scans, so nobody can clear a region",
        tests=(
            "tests/engine/deletion/test_approvals.py::test_an_approved_removal_needs_neither_budget_nor_scans_nor_a_lease_record",
        ),
    ),
    Mutant(
        name="a-plan-is-let-go-by-another-ones-approval",
        invariant="I7",
        file="gco_stream/engine/deletion/guard.py",
        old=("        if self._approvals.covers(plan.endpoint, uids):\n            if self._approvals.start"),
        new=("        if self._approvals.any:\n            if self._approvals.start"),
        breaks="while any approval exists, everything may be removed",
        tests=("tests/engine/deletion/test_approvals.py::test_the_approval_of_one_endpoint_permits_no_other_removal",),
    ),
)
