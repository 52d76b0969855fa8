"""The workflows that are shipped, to begin with: they can be read, run and saved under a name, never changed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nodegraph.document import read_json
from nodegraph.errors import FileMissing, NodegraphError, UnsafePath, shorten
from nodegraph.files import inside
from nodegraph.registry import builtin_folder
from nodegraph.server.v1.faults import UnknownWorkflow
from nodegraph.server.v1.library import title_of
from nodegraph.server.v1.operation import PREFIX
from nodegraph.server.v1.shapes import OneTemplate, Template


class Templates:
    """Reads files at every call: call it in a thread."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or builtin_folder("workflows")
        self.pictures = self.folder / "pictures"

    def names(self) -> list[str]:
        return [path.stem for path in sorted(self.folder.glob("*.json"))]

    def all(self) -> list[Template]:
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(NodegraphError):
                found.append(self._told(path.stem, read_json(path)))
        return found

    def get(self, name: str) -> OneTemplate:
        """Raises UnknownWorkflow."""
        document = self.document(name)
        return {**self._told(name, document), "workflow": document}

    def document(self, name: str) -> dict[str, Any]:
        """Raises UnknownWorkflow."""
        try:
            found = read_json(inside(self.folder, f"{name}.json")) if "/" not in name and "\\" not in name else None
        except (FileMissing, UnsafePath):
            found = None
        if not isinstance(found, dict):
            raise UnknownWorkflow(f"there is no template {shorten(name)!r}", hint=f"there is: {', '.join(self.names())}")
        return found

    def _told(self, name: str, document: Any) -> Template:
        meta = document.get("meta", {})
        picture = f"{name}.webp"
        return {
            "name": name,
            "title": title_of(document),
            "description": str(meta.get("description", "")),
            "picture": f"{PREFIX}/templates/{quote(name)}/picture" if (self.pictures / picture).is_file() else None,
            "nodes": len(document.get("nodes", {})),
            "tags": [str(tag) for tag in tags] if isinstance(tags := meta.get("tags"), list) else [],
        }
