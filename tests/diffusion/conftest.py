"""Settings of the tests that use torch."""

from __future__ import annotations

from hypothesis import settings

# The first call of a kernel may take long, and machines are shared: time is not a law.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
