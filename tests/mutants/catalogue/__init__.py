"""All mutants, by what they break."""

from tests.mutants.catalogue.bounds import BOUNDS
from tests.mutants.catalogue.convergence import CONVERGENCE
from tests.mutants.catalogue.leadership import LEADERSHIP
from tests.mutants.catalogue.quiet import QUIET
from tests.mutants.catalogue.safety import SAFETY
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (*CONVERGENCE, *LEADERSHIP, *SAFETY, *QUIET, *BOUNDS)
