"""Frames between server and worker: what goes in comes out, in any pieces; what is too large or no frame is refused."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodegraph import events as ev
from nodegraph.server.queue.store.packing import encode
from nodegraph.server.wire import link
from nodegraph.server.worker.event_text import events_frame, text_of
from nodegraph.server.worker.outbox import BUSY, MOST_EVENTS, Outbox, Sink

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(), items, max_size=4),
    max_leaves=20,
)


def received(data: bytes, piece: int = 1 << 20) -> list[link.Frame]:
    """What an event loop reads from bytes that come in pieces."""

    async def work() -> list[link.Frame]:
        reader = asyncio.StreamReader(limit=1024)

        async def feed() -> None:
            for start in range(0, len(data), piece):
                reader.feed_data(data[start : start + piece])
                await asyncio.sleep(0)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        frames = []
        while (frame := await link.receive(reader)) is not None:
            frames.append(frame)
        await feeding
        return frames

    return asyncio.run(work())


def read_all(data: bytes) -> list[link.Frame]:
    stream = io.BytesIO(data)
    frames = []
    while (frame := link.read(stream)) is not None:
        frames.append(frame)
    return frames


@given(st.lists(st.tuples(st.dictionaries(st.text(), PLAIN, max_size=4), st.binary(max_size=50)), max_size=4), st.integers(1, 50))
def test_frames_come_out_as_they_went_in(messages: list[tuple[dict[str, Any], bytes]], piece: int) -> None:
    frames = [link.Frame({**data, "kind": "test"}, binary) for data, binary in messages]
    data = b"".join(link.frame(*frame) for frame in frames)
    assert read_all(data) == received(data, piece) == frames


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_are_refused_or_read_but_never_anything_else(data: bytes) -> None:
    for read in (read_all, received):
        try:
            frames = read(data)
        except link.LinkBroken:
            continue
        assert all(isinstance(frame.kind, str) for frame in frames)


@pytest.mark.parametrize("cut", [1, 7, 8, 12, -1])
def test_a_link_that_ends_within_a_frame_is_broken(cut: int) -> None:
    data = link.frame({"kind": "x"}, b"abc")[:cut]
    for read in (read_all, received):
        with pytest.raises(link.LinkBroken, match="ended within"):
            read(data)


@pytest.mark.parametrize("sizes", [(link.MAX_JSON + 1, 0), (2, link.MAX_BINARY + 1), (2**32 - 1, 2**32 - 1)])
def test_a_frame_that_is_too_large_is_refused_before_it_is_read(sizes: tuple[int, int]) -> None:
    data = b"".join(size.to_bytes(4, "big") for size in sizes) + b"{}"
    for read in (read_all, received):
        with pytest.raises(link.FrameTooLarge):
            read(data)


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(link.FrameTooLarge):
        link.frame({"kind": "x", "text": "x" * link.MAX_JSON})
    with pytest.raises(link.FrameTooLarge):
        link.frame({"kind": "x"}, bytes(link.MAX_BINARY + 1))


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"kind": 3}', b"null", b"\xff", b"[" * 100_000, b"{'kind': 1}"])
def test_json_that_is_no_message_is_refused(text: bytes) -> None:
    data = len(text).to_bytes(4, "big") + bytes(4) + text
    for read in (read_all, received):
        with pytest.raises(link.LinkBroken):
            read(data)


# ------------------------------------------------------------------------------------------------ odd values


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


@given(st.recursive(PLAIN | st.floats() | st.binary() | st.sets(st.integers()), lambda items: st.dictionaries(st.integers(), items)))
def test_anything_can_be_dumped(value: Any) -> None:
    json.loads(link.dump(value), parse_constant=pytest.fail)


@given(PLAIN)
def test_plain_values_are_dumped_as_they_are(value: Any) -> None:
    assert json.loads(link.dump(value)) == value


def test_values_that_json_cannot_hold() -> None:
    nested: list[Any] = []
    nested.append(nested)
    assert json.loads(link.dump(Rude())) == "(Rude)"
    assert json.loads(link.dump({Rude(): 1})) == {"(Rude)": 1}
    assert json.loads(link.dump([float("inf"), 10**5000])) == [None, "a number of more than 300 digits"]
    assert len(link.dump(nested)) < 1000


# ------------------------------------------------------------------------------------------------ the worker's side


@contextmanager
def outbox() -> Iterator[tuple[Outbox, list[link.Frame], threading.Event]]:
    """An outbox, the frames that came out at its other end, and what must be set before anybody reads there."""
    out, into = os.pipe()
    frames: list[link.Frame] = []
    open_ = threading.Event()

    def read() -> None:
        open_.wait()
        with open(out, "rb") as stream:
            while (frame := link.read(stream)) is not None:
                frames.append(frame)

    reader = threading.Thread(target=read)
    reader.start()
    box = Outbox(into)
    try:
        yield box, frames, open_
    finally:
        open_.set()
        box.close()
        os.close(into)
        reader.join()


def told(frames: list[link.Frame]) -> list[dict[str, Any]]:
    return [event for frame in frames if frame.kind == "events" for event in link.events_of(frame)[0]]


def test_events_come_in_order_and_before_what_is_sent_after_them() -> None:
    with outbox() as (box, frames, reading):
        reading.set()
        for number in range(3000):
            box.put(ev.NodeStarted(str(number), "T"))
        box.send({"kind": "finished"})
        box.put(ev.NodeStarted("after", "T"))
        box.send({"kind": "end"})
    assert [event["node"] for event in told(frames)] == [*map(str, range(3000)), "after"]
    assert max(len(link.events_of(frame)[0]) for frame in frames if frame.kind == "events") <= MOST_EVENTS
    kinds = [frame.kind for frame in frames]
    assert kinds.index("finished") == kinds.index("end") - 2


def test_of_a_node_only_the_newest_picture_waits_while_nobody_reads() -> None:
    with outbox() as (box, frames, reading):
        box.send({"kind": "full"}, bytes(2**20))  # more than a pipe holds: from here on the thread waits
        for number in range(50):
            box.put(ev.Preview("a", 1, 1, b"%d" % number))
            box.put(ev.Preview("b", 1, 1, b"%d" % number))
        reading.set()
    pictures = [(frame.data["node"], frame.binary) for frame in frames if frame.kind == "preview"]
    assert pictures[-2:] == [("a", b"49"), ("b", b"49")]
    assert len(pictures) <= 4


def test_while_nobody_reads_progress_is_left_out_and_what_happened_to_nodes_is_not() -> None:
    with outbox() as (box, frames, reading):
        box.send({"kind": "full"}, bytes(2**20))
        for number in range(2 * BUSY):
            box.put(ev.Progress("a", number, None))
        for number in range(100):
            box.put(ev.NodeStarted(str(number), "T"))
        reading.set()
    events = told(frames)
    assert [event["node"] for event in events if event["event"] == "node_started"] == list(map(str, range(100)))
    assert BUSY / 2 < len(events) <= BUSY + 101


def test_a_sink_that_is_closed_passes_nothing_on() -> None:
    with outbox() as (box, frames, reading):
        reading.set()
        sink = Sink(box, {"a"})
        sink(ev.NodeStarted("a", "T"))
        assert list(sink.doing) == ["a"]
        sink(ev.NodeFinished("a", "T", 1.0, shown=({"kind": "text", "text": "x"},)))
        sink(ev.NodeFinished("inner", "T", 1.0, shown=({"kind": "text", "text": "y"},)))
        assert not sink.doing
        assert list(sink.shown) == ["a"]
        sink.close()
        sink(ev.NodeStarted("b", "T"))
    assert [event["node"] for event in told(frames)] == ["a", "a", "inner"]


def test_events_that_are_too_large_together_go_in_several_frames() -> None:
    events = [{"event": "log", "node": str(number), "text": "x" * 2**20} for number in range(100)]
    frames = read_all(events_frame([link.dump(event) for event in events]))
    assert len(frames) == 2
    assert told(frames) == events


EVENTS = st.one_of(
    st.builds(ev.NodeStarted, st.text(), st.text()),
    st.builds(ev.NodeFinished, st.text(), st.text(), st.floats(0, 1e9), st.booleans(), st.just(()), st.integers(0, 2**50)),
    st.builds(ev.NodeFinished, st.text(), st.text(), st.just(0.5), shown=st.just(({"kind": "text", "text": "é"},))),
    st.builds(ev.Progress, st.text(), st.floats(allow_nan=False, allow_infinity=False), st.none() | st.floats(0, 10), st.text()),
    st.builds(ev.Log, st.text(), st.just("info"), st.text()),
)


@given(st.lists(EVENTS, max_size=5))
def test_events_are_written_once_as_the_server_stores_them(events: list[ev.Event]) -> None:
    (frame,) = read_all(events_frame([text_of(event) for event in events]))
    found, text = link.events_of(frame)
    assert found == json.loads(json.dumps([event.to_json() for event in events]))
    assert text == encode(found)


@pytest.mark.parametrize("binary", [b"", b"{}", b"[1]", b'[{"node": "a"}]', b'["\xc3\xa9"]', b"[" * 100_000])
def test_what_is_no_list_of_events_breaks_the_link(binary: bytes) -> None:
    with pytest.raises(link.LinkBroken):
        link.events_of(link.Frame({"kind": "events"}, binary))


def test_an_event_that_is_too_large_alone_is_told_in_short() -> None:
    text = link.dump({"event": "log", "node": "a", "level": "info", "text": "x" * link.MAX_EVENTS})
    assert told(read_all(events_frame([text]))) == [{"event": "log", "node": "a", "level": "info", "text": "(too large to be told)"}]


def test_an_outbox_whose_server_is_gone_does_not_hang() -> None:
    out, into = os.pipe()
    os.close(out)
    box = Outbox(into)
    for number in range(1000):
        box.put(ev.NodeStarted(str(number), "T"))
    box.close()
    os.close(into)
