"""The fan-out: in order, complete or closed, bounded, and nobody hears of another's runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from nodegraph.server.queue.hub import MOST_PREVIEWS, SLICE, Hub, Item, QueueChanged, Subscription
from nodegraph.server.queue.model import JobEvent, LivePreview


def events(job: str, first: int, count: int) -> list[JobEvent]:
    return [JobEvent(job, seq, 0.0, {"event": "progress"}) for seq in range(first, first + count)]


def preview(job: str, node: str, mark: int = 0) -> LivePreview:
    return LivePreview(job, node, 8, 8, bytes([mark]))


def waiting(reader: Subscription) -> list[Item]:
    """All that it could read now."""
    found = []
    while (item := reader.take()) is not None:
        found.append(item)
    return found


async def heard(reader: Subscription, count: int) -> list[Item]:
    async with asyncio.timeout(10):
        return [await anext(reader) for _ in range(count)]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_client_hears_of_its_own_jobs_only() -> None:
    async def main() -> None:
        hub = Hub()
        ada, bob, nobody = hub.subscribe(client="ada"), hub.subscribe(client="bob"), hub.subscribe(client="")
        hub.publish("ada", events("a", 1, 2))
        hub.publish("bob", events("b", 1, 1))
        hub.publish("", events("n", 1, 1))
        hub.preview("ada", preview("a", "x"))
        assert waiting(ada) == [*events("a", 1, 2), preview("a", "x")]
        assert waiting(bob) == events("b", 1, 1)
        assert waiting(nobody) == []

    run(main())


@pytest.mark.parametrize("trick", ["job:a", "client:ada", "queue", "ada "])
def test_no_name_of_a_client_reaches_anothers_events(trick: str) -> None:
    async def main() -> None:
        hub = Hub()
        reader = hub.subscribe(client=trick)
        hub.publish("ada", events("a", 1, 1))
        hub.queue_changed(3)
        assert waiting(reader) == []

    run(main())


def test_a_job_is_followed_whoever_it_belongs_to_and_once_by_who_hears_it_twice() -> None:
    async def main() -> None:
        hub = Hub()
        one, both = hub.subscribe(job="a"), hub.subscribe(job="a", client="ada", queue=True)
        hub.publish("ada", events("a", 1, 3))
        hub.publish("ada", events("other", 1, 1))
        hub.queue_changed(2)
        assert waiting(one) == events("a", 1, 3)
        assert waiting(both) == [*events("a", 1, 3), *events("other", 1, 1), QueueChanged(2)]

    run(main())


def test_of_previews_and_of_the_queue_only_the_newest_waits_and_order_is_kept() -> None:
    async def main() -> None:
        hub = Hub()
        reader = hub.subscribe(client="ada", queue=True)
        hub.publish("ada", events("a", 1, 1))
        hub.preview("ada", preview("a", "x", 1))
        hub.preview("ada", preview("a", "y", 2))
        hub.queue_changed(5)
        hub.publish("ada", events("a", 2, 1))
        hub.preview("ada", preview("a", "x", 3))
        hub.queue_changed(4)
        hub.publish("ada", events("a", 3, 1))
        assert waiting(reader) == [
            *events("a", 1, 1),
            preview("a", "y", 2),
            *events("a", 2, 1),
            preview("a", "x", 3),
            QueueChanged(4),
            *events("a", 3, 1),
        ]

    run(main())


def test_a_reader_that_keeps_up_hears_a_burst_far_beyond_its_limit() -> None:
    async def main() -> None:
        hub = Hub()
        reader = hub.subscribe(job="a", limit=1000)
        told = events("a", 1, 10_000)
        for start in range(0, len(told), 64):  # all in one turn of the loop
            hub.publish("", told[start : start + 64])
        assert await heard(reader, 10_000) == told
        assert not reader.overflowed

    run(main())


def test_a_slow_reader_is_closed_past_its_limit_and_costs_nothing_more() -> None:
    async def main() -> None:
        hub = Hub()
        slow, quick = hub.subscribe(job="a", limit=1000), hub.subscribe(job="a", limit=1000)
        got: list[Item] = []
        for first in range(1, 20_001, SLICE):
            hub.publish("", events("a", first, SLICE))
            got += await heard(quick, SLICE)
            assert len(slow) <= 1000
        assert slow.overflowed
        assert slow.closed
        assert [item async for item in slow] == []
        assert got == events("a", 1, 20_000)
        assert len(hub) == 1

    run(main())


def test_previews_never_push_a_reader_over_its_limit() -> None:
    async def main() -> None:
        hub = Hub()
        reader = hub.subscribe(client="ada", queue=True, limit=10)
        hub.queue_changed(7)
        for number in range(5000):
            hub.preview("ada", preview("a", f"node {number}", number % 256))
            await asyncio.sleep(0)
        hub.publish("ada", events("a", 1, 10))
        assert len(reader) <= MOST_PREVIEWS + 11
        found = waiting(reader)
        assert QueueChanged(7) in found
        assert [item for item in found if isinstance(item, JobEvent)] == events("a", 1, 10)
        assert preview("a", "node 4999", 4999 % 256) in found
        assert not reader.overflowed

    run(main())


def test_a_waiting_reader_ends_when_it_is_closed_by_another_task() -> None:
    async def main() -> None:
        hub = Hub()
        with hub.subscribe(job="a") as reader:
            task = asyncio.create_task(anext(reader, None))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        assert await asyncio.wait_for(task, 5) is None
        assert len(hub) == 0
        hub.publish("", events("a", 1, 1))
        assert waiting(reader) == []

    run(main())


def test_when_the_hub_closes_readers_hear_what_was_told_and_then_the_end() -> None:
    async def main() -> None:
        hub = Hub()
        full, empty = hub.subscribe(job="a"), hub.subscribe(job="b")
        waits = asyncio.create_task(anext(empty, None))  # type: ignore[arg-type]
        hub.publish("", events("a", 1, 900))
        await asyncio.sleep(0)
        hub.close()
        assert [item async for item in full] == events("a", 1, 900)
        assert not full.overflowed
        assert await asyncio.wait_for(waits, 5) is None
        assert [item async for item in hub.subscribe(queue=True)] == []
        assert len(hub) == 0

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_sizes_every_reader_hears_everything_in_order(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        hub = Hub()
        readers = [hub.subscribe(job="a", limit=100_000) for _ in range(3)]
        seq = 1
        for _ in range(60):
            count = chance.choice([1, 2, 7, 249, 250, 251, 600])
            hub.publish("", events("a", seq, count))
            seq += count
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        for reader in readers:
            assert [item.seq for item in await heard(reader, seq - 1) if isinstance(item, JobEvent)] == list(range(1, seq))

    run(main())
