"""What becomes of a job when a run of it is over: a pure function, the same after a lost worker and after a lost server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nodegraph.server.queue.errors import WorkerLost
from nodegraph.server.queue.model import ENDED, Job, Outcome

ATTEMPTS: Final = 2
"""a job whose worker was lost is run again once"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """job: as it is now, ended or waiting again; events: the queue's own, for its log"""

    job: Job
    events: Sequence[Mapping[str, Any]]

    @property
    def ended(self) -> bool:
        return self.job.status in ENDED


def verdict(job: Job, outcome: Outcome, now: float, *, cancel: bool = False, stopping: bool = False) -> Verdict:
    """cancel: somebody asked for it; stopping: the server lets go of its runs to run them when it is back."""
    if outcome.status in ("done", "failed"):
        return ended(job, outcome, now)
    if cancel:
        return ended(job, replace(outcome, status="cancelled", error=None), now)
    if stopping:
        return _returned(job)
    return _lost(job, outcome, now) if outcome.status == "lost" else ended(job, outcome, now)


def ended(job: Job, outcome: Outcome, now: float) -> Verdict:
    status = outcome.status
    assert status != "lost"
    seconds = outcome.seconds or (now - job.started if job.started is not None else 0.0)
    event: dict[str, Any] = {"event": "job_ended", "status": status, "seconds": seconds}
    if outcome.error is not None:
        event["error"] = outcome.error
    return Verdict(replace(job, status=status, ended=now, outputs=outcome.outputs, error=outcome.error), [event])


def _lost(job: Job, outcome: Outcome, now: float) -> Verdict:
    lost = {"event": "job_lost", "attempt": job.attempt, "reason": outcome.reason}
    if job.attempt < ATTEMPTS:
        again = replace(job, status="pending", started=None)
        return Verdict(again, [lost, {"event": "job_retried", "attempt": job.attempt + 1}])
    error = WorkerLost(
        f"the run was lost {job.attempt} times; the last time: {outcome.reason or 'for an unknown reason'}",
        hint="if memory ran out, use smaller pictures or batches; the log of the server says more",
    )
    failed = ended(job, replace(outcome, status="failed", error=error.to_json()), now)
    return Verdict(failed.job, [lost, *failed.events])


def _returned(job: Job) -> Verdict:
    """The server stops in good order: that is no attempt."""
    again = replace(job, status="pending", started=None, attempt=job.attempt - 1)
    return Verdict(again, [{"event": "job_returned", "reason": "the server was stopped"}])
