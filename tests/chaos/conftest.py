"""What the tests of faults share with the other tests on real parts: programs as processes, and one test's world."""

from tests.chaos.replicas import replicas
from tests.integration.conftest import controller, program, webhook, world

__all__ = ["controller", "program", "replicas", "webhook", "world"]
