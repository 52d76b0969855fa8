-- Whether the log of a run tells where its time goes.
ALTER TABLE jobs ADD COLUMN trace INTEGER NOT NULL DEFAULT 0;
