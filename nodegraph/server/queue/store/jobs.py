"""Jobs and their documents: operations for `Store.write` and `Store.read`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nodegraph.server.queue.errors import Conflict, UnknownJob
from nodegraph.server.queue.model import ENDED, Job, Status, Submission
from nodegraph.server.queue.store import finding
from nodegraph.server.queue.store.packing import encode, pack, unpack

LIGHT: Final = "serial, id, number, status, created, client, title, attempt, started, ended, targets, retry_of"
WHOLE: Final = f"{LIGHT}, error, outputs"

Sort = Literal["created", "number", "ended", "duration"]

SORTS: Final[Mapping[str, str]] = {
    "created": "serial {way}",
    "number": "number {way}, serial {way}",
    "ended": "ended {way}, serial {way}",
    "duration": "ended - started {way}, serial {way}",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a submission. new: False if the same one had been accepted before; size: characters of document and origin."""

    job: Job
    serial: int
    new: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A job found waiting or running when the server starts. last: number of its last event."""

    job: Job
    serial: int
    last: int
    cancel: bool


# ------------------------------------------------------------------------------------------------ accepting


def insert(connection: sqlite3.Connection, submission: Submission, created: float, retry_of: str | None = None) -> Accepted:
    """Put a run into the queue. The same id with the same document, targets and client is the job that is there; else Conflict."""
    known = connection.execute(f"SELECT {WHOLE} FROM jobs WHERE id = ?", (submission.id,)).fetchone()
    if known is not None:
        return _same(connection, known, submission)
    document = submission.document_text or encode(submission.document)
    origin = submission.origin_text or encode(submission.origin)
    serial = _insert_row(connection, submission, created, retry_of)
    number = _number(connection, submission, serial)
    connection.execute("UPDATE jobs SET number = ? WHERE serial = ?", (number, serial))
    connection.execute("INSERT INTO documents VALUES (?, ?, ?)", (serial, pack(document), pack(origin)))
    job = Job(submission.id, number, "pending", created, submission.client, submission.title, targets=submission.targets, retry_of=retry_of)
    return Accepted(job, serial, True, len(document) + len(origin))


def _insert_row(connection: sqlite3.Connection, submission: Submission, created: float, retry_of: str | None) -> int:
    """A row with number 0, for the number may come from the row's place."""
    targets = None if submission.targets is None else encode(submission.targets)
    row = (submission.id, created, submission.previews, submission.trace, submission.client, submission.title, retry_of, targets)
    cursor = connection.execute(
        "INSERT INTO jobs (id, number, status, created, previews, trace, client, title, retry_of, targets)"
        " VALUES (?, 0, 'pending', ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    return int(cursor.lastrowid or 0)


def _same(connection: sqlite3.Connection, row: Sequence[Any], submission: Submission) -> Accepted:
    job = job_of(row)
    stored = document(connection, job.id)
    if (_sorted(stored), job.targets, job.client) != (_sorted(submission.document), submission.targets, submission.client):
        raise Conflict(
            f"the id {submission.id} belongs to another run, submitted before with another content",
            hint="take a new id for a new run; the same id may only be sent again with the same document, targets and client",
        )
    return Accepted(job, int(row[0]), False)


def _sorted(value: Any) -> str:
    """A text that is equal for equal JSON: 1, 1.0 and true differ, the order of keys does not count."""
    return json.dumps(value, sort_keys=True)


def _number(connection: sqlite3.Connection, submission: Submission, serial: int) -> float:
    return in_front(connection) if submission.front else float(serial) if submission.number is None else float(submission.number)


def in_front(connection: sqlite3.Connection) -> float:
    """A number before those of all jobs that wait."""
    (lowest,) = connection.execute("SELECT min(number) FROM jobs WHERE status = 'pending'").fetchone()
    return min(lowest if lowest is not None else 0.0, 0.0) - 1.0


# ------------------------------------------------------------------------------------------------ reading


def get(connection: sqlite3.Connection, id: str, origin: bool = False) -> Job | None:
    """One job with its outputs and error. origin: read that too, which is large."""
    columns, tables = (f"{WHOLE}, origin", "jobs JOIN documents USING (serial)") if origin else (WHOLE, "jobs")
    row = connection.execute(f"SELECT {columns} FROM {tables} WHERE id = ?", (id,)).fetchone()
    return job_of(row) if row is not None else None


def serial_of(connection: sqlite3.Connection, id: str) -> int:
    """The row of a job. Raises UnknownJob."""
    row = connection.execute("SELECT serial FROM jobs WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise UnknownJob(f"there is no job {id}", hint="it may have been deleted, or dropped as one of the oldest of the history")
    return int(row[0])


def document(connection: sqlite3.Connection, id: str) -> dict[str, Any]:
    """Raises UnknownJob."""
    (packed,) = connection.execute("SELECT document FROM documents WHERE serial = ?", (serial_of(connection, id),)).fetchone()
    value: dict[str, Any] = json.loads(unpack(packed))
    return value


def submission(connection: sqlite3.Connection, id: str) -> Submission:
    """What was submitted, without its secrets. Raises UnknownJob."""
    row = connection.execute(
        "SELECT document, targets, client, title, previews, trace, origin FROM jobs JOIN documents USING (serial) WHERE serial = ?",
        (serial_of(connection, id),),
    ).fetchone()
    packed, targets, client, title, previews, trace, packed_origin = row
    document, origin = unpack(packed), unpack(packed_origin)
    return Submission(
        id,
        json.loads(document),
        _targets(targets),
        client=client,
        title=title,
        previews=bool(previews),
        trace=bool(trace),
        origin=json.loads(origin),
        document_text=document,
        origin_text=origin,
    )


def listing(
    connection: sqlite3.Connection,
    statuses: Sequence[Status],
    *,
    client: str | None,
    sort: Sort,
    descending: bool,
    limit: int,
    offset: int,
    origin: bool,
    search: str = "",
) -> tuple[list[Job], int]:
    """Jobs of these statuses (all if none is named), and how many there are in all.

    origin: read that too, which is large; search: words that all must be in a job, see `finding`
    """
    where, values = _where(statuses, client)
    if words := finding.words_of(search):
        found = finding.serials(connection, words, where, values, SORTS[sort].format(way="DESC" if descending else "ASC"))
        page = (connection.execute(f"SELECT {WHOLE} FROM jobs WHERE serial = ?", (serial,)) for serial in found[offset : offset + limit])
        return [job_of(row) for rows in page for row in rows], len(found)
    (total,) = connection.execute(f"SELECT count(*) FROM jobs{where}", values).fetchone()
    columns, tables = (f"{WHOLE}, origin", "jobs JOIN documents USING (serial)") if origin else (WHOLE, "jobs")
    order = SORTS[sort].format(way="DESC" if descending else "ASC")
    rows = connection.execute(f"SELECT {columns} FROM {tables}{where} ORDER BY {order} LIMIT ? OFFSET ?", (*values, limit, offset))
    return [job_of(row) for row in rows], int(total)


def _where(statuses: Sequence[Status], client: str | None) -> tuple[str, tuple[Any, ...]]:
    conditions = [f"status IN ({', '.join('?' * len(statuses))})"] if statuses else []
    conditions += ["client = ?"] if client is not None else []
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), (*statuses, *((client,) if client is not None else ()))


def job_of(row: Sequence[Any]) -> Job:
    """A Job from the columns LIGHT, WHOLE, or WHOLE and origin."""
    _, id, number, status, created, client, title, attempt, started, ended, targets, retry_of = row[:12]
    error, outputs = row[12:14] if len(row) > 12 else (None, None)
    return Job(
        id,
        number,
        status,
        created,
        client,
        title,
        attempt,
        started,
        ended,
        _targets(targets),
        json.loads(unpack(outputs)) if outputs is not None else {},
        json.loads(error) if error is not None else None,
        json.loads(unpack(row[14])) if len(row) > 14 else {},
        retry_of,
    )


def _targets(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


# ------------------------------------------------------------------------------------------------ changing


def start(connection: sqlite3.Connection, serial: int, attempt: int, now: float) -> None:
    connection.execute("UPDATE jobs SET status = 'running', started = ?, attempt = ? WHERE serial = ?", (now, attempt, serial))


def give_back(connection: sqlite3.Connection, serial: int, attempt: int) -> None:
    """A run that did not end waits again. attempt: how many count as made"""
    connection.execute("UPDATE jobs SET status = 'pending', started = NULL, attempt = ? WHERE serial = ?", (attempt, serial))


def want_cancel(connection: sqlite3.Connection, serial: int) -> None:
    """Remember that a cancel was acknowledged, should the server die before the run has stopped."""
    connection.execute("UPDATE jobs SET cancel = 1 WHERE serial = ?", (serial,))


def end(connection: sqlite3.Connection, serial: int, job: Job) -> int:
    """Store how a job ended. Returns the bytes that it takes in the database."""
    assert job.status in ENDED
    outputs = pack(encode(job.outputs)) if job.outputs else None
    error = encode(job.error) if job.error is not None else None
    size = _size(connection, serial) + len(outputs or "") + len(error or "")
    connection.execute(
        "UPDATE jobs SET status = ?, ended = ?, error = ?, outputs = ?, bytes = ? WHERE serial = ?",
        (job.status, job.ended, error, outputs, size, serial),
    )
    return size


def _size(connection: sqlite3.Connection, serial: int) -> int:
    query = (
        "SELECT (SELECT length(document) + length(origin) FROM documents WHERE serial = ?1)"
        " + (SELECT ifnull(sum(length(data)), 0) FROM events WHERE serial = ?1)"
    )
    return int(connection.execute(query, (serial,)).fetchone()[0])


def renumber(connection: sqlite3.Connection, serial: int, number: float | None) -> float:
    """Give a waiting job another number; None: before all others."""
    chosen = in_front(connection) if number is None else number
    connection.execute("UPDATE jobs SET number = ? WHERE serial = ?", (chosen, serial))
    return chosen


def delete(connection: sqlite3.Connection, ids: Iterable[str]) -> list[str]:
    """Erase those of these jobs that have ended, with documents and events. Returns their ids."""
    ended = "SELECT serial FROM jobs WHERE id = ? AND ended IS NOT NULL"
    gone = []
    for id in ids:
        row = connection.execute(ended, (id,)).fetchone()
        if row is not None:
            connection.execute("DELETE FROM jobs WHERE serial = ?", row)
            gone.append(id)
    return gone


def unfinished(connection: sqlite3.Connection) -> list[Unfinished]:
    """What waits and what was running when the server died, in turn."""
    rows = connection.execute(
        f"SELECT {LIGHT}, cancel, (SELECT max(last) FROM events WHERE events.serial = jobs.serial) FROM jobs"
        " WHERE status IN ('pending', 'running') ORDER BY number, serial"
    )
    return [Unfinished(job_of(row[:12]), int(row[0]), int(row[13] or 0), bool(row[12])) for row in rows]


# ------------------------------------------------------------------------------------------------ switches


def switch(connection: sqlite3.Connection, name: str, value: bool) -> None:
    connection.execute("INSERT OR REPLACE INTO switches VALUES (?, ?)", (name, int(value)))


def is_on(connection: sqlite3.Connection, name: str) -> bool:
    row = connection.execute("SELECT value FROM switches WHERE name = ?", (name,)).fetchone()
    return row is not None and bool(row[0])
