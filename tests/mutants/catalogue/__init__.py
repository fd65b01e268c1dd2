"""All mutants, by the invariant that they violate."""

from tests.mutants.catalogue.approvals import APPROVALS
from tests.mutants.catalogue.bounds import BOUNDS
from tests.mutants.catalogue.convergence import CONVERGENCE
from tests.mutants.catalogue.following import FOLLOWING
from tests.mutants.catalogue.leadership import LEADERSHIP
from tests.mutants.catalogue.quiet import QUIET
from tests.mutants.catalogue.recreated_table import RECREATED_TABLE
from tests.mutants.catalogue.safety import SAFETY
from tests.mutants.catalogue.templates import TEMPLATES
from tests.mutants.catalogue.told import TOLD
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *CONVERGENCE,
    *FOLLOWING,
    *LEADERSHIP,
    *SAFETY,
    *RECREATED_TABLE,
    *APPROVALS,
    *QUIET,
    *TOLD,
    *BOUNDS,
    *TEMPLATES,
)
