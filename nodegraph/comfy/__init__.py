"""Workflows of ComfyUI, read and written: its API JSON, its editor's JSON, and the names it gives to nodes we have too."""
