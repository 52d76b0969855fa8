"""A job that has not ended, as the service keeps it in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodegraph.server.queue.model import Job, Submission, Worker
from nodegraph.server.queue.runlog import RunLog


@dataclass(slots=True)
class Entry:
    """job: its present state, without origin; serial: its row
    submission: what to run, if it is at hand; else it is read from the store when its turn comes
    size: characters of that; cancel: a cancel was asked for while it was running; worker: who runs it
    """

    job: Job
    serial: int
    log: RunLog
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    submission: Submission | None = field(default=None, repr=False)
    size: int = 0
    cancel: bool = False
    worker: Worker | None = None
