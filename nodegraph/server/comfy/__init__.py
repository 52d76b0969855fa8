"""ComfyUI's HTTP and websocket protocol: what its clients send and expect, translated from and to what the server does."""
