"""What the queue has done since the server started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nodegraph.server.queue.histogram import Histogram
from nodegraph.server.queue.verdict import Verdict

RUN_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
LAG_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)


@dataclass(slots=True)
class Counters:
    """lost: runs whose worker or server died; seconds: that runs took; lag: seconds from when an event came until it was told"""

    submitted: int = 0
    started: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    retried: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(RUN_SECONDS))
    lag: Histogram = field(default_factory=lambda: Histogram(LAG_SECONDS))

    def count(self, verdict: Verdict) -> None:
        job = verdict.job
        kinds = [event["event"] for event in verdict.events]
        self.lost += kinds.count("job_lost")
        self.retried += kinds.count("job_retried")
        self.done += job.status == "done"
        self.failed += job.status == "failed"
        self.cancelled += job.status == "cancelled"
        for event in verdict.events:
            if event["event"] == "job_ended" and job.started is not None:
                self.seconds.note(event["seconds"])
