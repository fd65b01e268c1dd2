"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# Shared machines stall: neither a slow example nor slow generation says anything about the code.
settings.register_profile("gco-stream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gco-stream")
