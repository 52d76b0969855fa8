"""ComfyUI's addresses: a module each for what belongs together."""
