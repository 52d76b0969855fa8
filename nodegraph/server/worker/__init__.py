"""What runs in a worker process: the engine, what it can be asked, what it sends."""
