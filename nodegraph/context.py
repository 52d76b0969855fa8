"""`ctx: Context`, a node's only door to the world: progress, previews, cancelling, weights, noise, files, messages."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from nodegraph.errors import Cancelled
from nodegraph.events import Log, Preview, Progress, Sink
from nodegraph.files import Files, SavedFile

T = TypeVar("T")

PREVIEW_SECONDS = 0.1
PROGRESS_SECONDS = 0.05


class Services(Protocol):
    """What the diffusion layer lends to nodes. The engine only passes it on, so it needs no torch."""

    def lease(self, handle: Any, **options: Any) -> contextlib.AbstractContextManager[Any]: ...

    def noise(self, seed: int, like: Any) -> Any: ...

    def free(self) -> int: ...

    def used_bytes(self) -> int: ...

    def report(self) -> str: ...

    @property
    def device(self) -> Any: ...


class Context:
    """Made anew for every call of a node; valid until the call returns."""

    def __init__(
        self,
        node: str,
        *,
        files: Files,
        emit: Sink,
        cancelled: threading.Event | None = None,
        services: Callable[[], Services] | None = None,
        workflow: Mapping[str, Any] | None = None,
        previews: bool = False,
        secrets: Mapping[str, str] = MappingProxyType({}),
        foreign: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.node = node
        """id of the node in the graph"""
        self.files = files
        self.workflow = workflow
        """the saved workflow this run came from, as plain data, or None"""
        self.foreign = foreign
        """the same in the forms of the program that asked for the run, by the names under which it looks for them in a picture"""
        self.shown: list[dict[str, Any]] = []
        self._emit = emit
        self._cancelled = cancelled
        self._services = services
        self._previews = previews
        self._secrets = secrets
        self._last_preview = 0.0
        self._last_progress = 0.0

    # ------------------------------------------------------------------------------- time

    def check(self) -> None:
        """Raise Cancelled if the run was cancelled. `track` does it before every step."""
        if self._cancelled is not None and self._cancelled.is_set():
            raise Cancelled

    def track(
        self,
        steps: Iterable[T],
        total: int | None = None,
        *,
        at: Callable[[T], tuple[float, float | None]] | None = None,
        preview: Callable[[T], Any] | None = None,
        text: Callable[[T], str] | None = None,
    ) -> Iterator[T]:
        """Pass on `steps` one by one with progress, at most ten previews a second, and a check for cancelling before each.

        at: from a step to (done, total), for steps that know it themselves; else they are counted
        preview: from a step to a picture, uint8 (H, W, 3); called only if somebody looks
        text: from a step to a few words beside the progress
        """
        if total is None and isinstance(steps, Sized):
            total = len(steps)
        iterator = iter(steps)
        done = 0
        try:
            while True:
                self.check()
                try:
                    step = next(iterator)
                except StopIteration:
                    break
                done += 1
                value, end = at(step) if at is not None else (done, total)
                self.progress(value, end, text(step) if text is not None else "")
                if preview is not None:
                    self.preview(lambda shown=step: preview(shown))  # type: ignore[misc]
                yield step
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def progress(self, value: float, total: float | None = None, text: str = "") -> None:
        """Say how far the node is. Sent at most twenty times a second, the last one always."""
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_SECONDS or value == total:
            self._last_progress = now
            self._emit(Progress(self.node, value, total, text))

    def preview(self, picture: Callable[[], Any] | Any) -> None:
        """Show an unfinished picture, uint8 (H, W, 3), or a function that makes one. Costs nothing if nobody looks."""
        now = time.monotonic()
        if not self._previews or now - self._last_preview < PREVIEW_SECONDS:
            return
        self._last_preview = now
        pixels = picture() if callable(picture) else picture
        if pixels is not None:
            self._emit(_jpeg(self.node, pixels))

    def log(self, text: str, level: str = "info") -> None:
        self._emit(Log(self.node, "warning" if level == "warning" else "info", text))

    # ------------------------------------------------------------------------------- results for people

    def show(self, kind: str, **data: Any) -> None:
        """Show something on the node: `show("image", file=saved)`, `show("text", text="...")`. Kept with the cached result."""
        self.shown.append({"kind": kind, **{k: v.to_json() if isinstance(v, SavedFile) else v for k, v in data.items()}})

    def secret(self, name: str) -> str | None:
        """A key for some service that whoever asked for the run gave along. Never log, show or return it: results are kept."""
        return self._secrets.get(name)

    # ------------------------------------------------------------------------------- the diffusion layer

    def load(self, handle: Any, **options: Any) -> contextlib.AbstractContextManager[Any]:
        """`with ctx.load(model) as net:` makes a handle real: on the device, patched, and undone again on exit."""
        return self._need_services().lease(handle, **options)

    @property
    def device(self) -> Any:
        """Where networks are put: a `torch.device`."""
        return self._need_services().device

    def noise(self, seed: int, like: Any) -> Any:
        """Gaussian noise in the shape of `like`, drawn on the CPU: the same picture for a seed on every device."""
        return self._need_services().noise(seed, like)

    def _need_services(self) -> Services:
        if self._services is None:
            raise RuntimeError("this Context was made without a weights store; pass services= to load models in a test")
        return self._services()


def _jpeg(node: str, pixels: Any) -> Preview:
    from PIL import Image as Pillow

    picture = Pillow.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return Preview(node, picture.width, picture.height, stream.getvalue())
