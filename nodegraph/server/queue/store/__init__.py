"""The durable state of the server in one SQLite file: jobs, their documents, their events. Acknowledged means on disk."""
