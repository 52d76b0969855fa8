"""Events as JSON text, each written once: what the worker writes here is what the server stores.

The beginning and the end of a node, which a long run tells of thousands of times, are put together from their few parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from nodegraph import events as ev
from nodegraph.server.wire import link

LARGEST_SHOWN: Final = 2**20
"""characters of JSON that one node may show"""


def text_of(event: ev.Event) -> str:
    """An event as JSON; one that shows more than any client wants to read, without that."""
    kind = type(event)
    if kind is ev.NodeStarted:
        return f'{{"event":"node_started","node":{quoted(event.node)},"type":{quoted(event.type)}}}'  # type: ignore[attr-defined]
    if kind is ev.NodeFinished and not event.shown:  # type: ignore[attr-defined]
        return _finished(event)  # type: ignore[arg-type]
    told = event.to_json()
    if told.get("shown"):
        told["shown"] = bounded_shown(told["shown"])
    return link.dump(told)


def _finished(event: ev.NodeFinished) -> str:
    return (
        f'{{"event":"node_finished","node":{quoted(event.node)},"type":{quoted(event.type)},"seconds":{event.seconds!r},'
        f'"cached":{"true" if event.cached else "false"},"shown":[],"nbytes":{event.nbytes}}}'
    )


def bounded_shown(shown: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    size = len(link.dump(list(shown)))
    if size <= LARGEST_SHOWN:
        return shown
    return [{"kind": "text", "text": f"(what this node shows has {size} characters, too many to be told)"}]


def events_frame(texts: Sequence[str]) -> bytes:
    """A frame of events, or several in a row if together they are too large for one."""
    if sum(map(len, texts)) < link.MAX_EVENTS:
        return link.frame({"kind": "events"}, f"[{','.join(texts)}]".encode("ascii"))
    if len(texts) > 1:
        half = len(texts) // 2
        return events_frame(texts[:half]) + events_frame(texts[half:])
    return events_frame([_without_bulk(texts[0])])


def _without_bulk(text: str) -> str:
    """What is left of an event that is too large even alone."""
    event = link.json_of(text)
    told = {key: event[key] for key in ("event", "node", "type", "seconds", "cached", "level") if key in event}
    return link.dump({**told, "text": "(too large to be told)"})
