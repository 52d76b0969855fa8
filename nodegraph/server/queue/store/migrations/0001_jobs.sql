-- Jobs in the order of their submission. Times are seconds since 1970. What is long lies at the end of a row or in a table of its own,
-- so that listing jobs does not read it.
CREATE TABLE jobs (
    serial    INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    number    REAL NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('pending', 'running', 'done', 'failed', 'cancelled')),
    created   REAL NOT NULL,
    started   REAL,
    ended     REAL,
    attempt   INTEGER NOT NULL DEFAULT 0,
    cancel    INTEGER NOT NULL DEFAULT 0,  -- a cancel was acknowledged while it ran
    previews  INTEGER NOT NULL DEFAULT 1,
    bytes     INTEGER NOT NULL DEFAULT 0,  -- what it takes in all tables, known when it has ended
    client    TEXT NOT NULL DEFAULT '',
    title     TEXT NOT NULL DEFAULT '',
    retry_of  TEXT,
    targets   TEXT,
    error     TEXT,
    outputs   TEXT
);
CREATE INDEX jobs_by_turn ON jobs (status, number, serial);
CREATE INDEX jobs_by_end ON jobs (ended, serial, bytes) WHERE ended IS NOT NULL;

-- JSON: as text, or compressed (zlib) as a blob.
CREATE TABLE documents (
    serial    INTEGER PRIMARY KEY REFERENCES jobs (serial) ON DELETE CASCADE,
    document  NOT NULL,
    origin    NOT NULL
);

-- A batch of events a row: a JSON list, numbered from `first` to `last` within the job.
CREATE TABLE events (
    serial    INTEGER NOT NULL REFERENCES jobs (serial) ON DELETE CASCADE,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    time      REAL NOT NULL,
    data      NOT NULL,
    UNIQUE (serial, first)
);

CREATE TABLE switches (
    name      TEXT PRIMARY KEY,
    value     INTEGER NOT NULL
) WITHOUT ROWID;
