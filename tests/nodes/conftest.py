"""Settings of the tests of nodes."""

from __future__ import annotations

from hypothesis import settings

# The first call of a node may import a lot, and machines are shared: time is not a law.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
