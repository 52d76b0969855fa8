"""What server and worker processes tell each other: frames, settings, faults, and a page of memory that outlives the worker."""
