"""I7 (a wrong or partial table removes nothing): a table that was deleted and recreated."""

from typing import Final

from tests.mutants.mutant import Mutant

RECREATED_TABLE: Final = (
    Mutant(
        name="a-recreated-table-is-accepted-before-the-objects-are-known",
        invariant="I7",
        file="gco_stream/engine/deletion/guard.py",
        old="is_complete = sees_all and bool(seen)",
        new="is_complete = bool(seen)",
        breaks="a new leader that still lists the cluster accepts a recreated table, and endpoints are removed",
        tests=(
            "tests/engine/deletion/test_table_identity.py"
            "::test_a_recreated_table_is_not_accepted_before_all_objects_are_known",
        ),
    ),
    Mutant(
        name="a-recreated-table-is-accepted-before-everything-is-planned",
        invariant="I7",
        file="gco_stream/engine/deletion/guard.py",
        old="_SCANS_TO_ACCEPT: Final = 2",
        new="_SCANS_TO_ACCEPT: Final = 1",
        breaks="endpoints that a recreated table sends to another region are removed",
        tests=(
            "tests/engine/deletion/test_table_identity.py"
            "::test_an_endpoint_that_is_held_between_two_scans_prevents_the_acceptance",
        ),
    ),
    Mutant(
        name="a-recreated-table-is-taken-for-the-remembered-one",
        invariant="I5",
        file="gco_stream/engine/deletion/table_identity.py",
        old="    return annotations.get(TABLE_ID_ANNOTATION, table_id) != table_id\n",
        new="    return False\n",
        breaks="endpoints whose items are not back yet are removed from a recreated table",
        tests=(
            "tests/engine/deletion/test_table_identity.py::test_nothing_is_removed_from_a_recreated_table_without_approval",
        ),
    ),
    Mutant(
        name="the-table-is-compared-by-scans-only",
        invariant="I5",
        file="gco_stream/engine/deletion/guard.py",
        old="        await self.identity.check()\n        if not",
        new="        if not",
        breaks="a table that was recreated after the last scan removes endpoints",
        tests=("tests/engine/deletion/test_table_identity.py::test_the_table_is_compared_before_the_first_deletion",),
    ),
)
