"""The server: HTTP and websockets in one process that never imports torch, runs in worker processes that it watches."""
