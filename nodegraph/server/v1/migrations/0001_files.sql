-- Files by the hash of their contents, as they were when somebody asked. What is wrong in here is found out at use: size and time must agree.
CREATE TABLE files (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    folder    TEXT NOT NULL,
    name      TEXT NOT NULL,
    size      INTEGER NOT NULL,
    mtime_ns  INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    UNIQUE (folder, name)
);
CREATE INDEX files_by_hash ON files (hash);
