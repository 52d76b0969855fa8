"""Metrics and traces as text and data: pure functions."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from nodegraph.server.queue.histogram import Histogram
from nodegraph.server.queue.model import Job, JobEvent
from nodegraph.server.v1.metrics import Metric, histogram, one, text
from nodegraph.server.v1.trace import trace_of
from nodegraph.server.v1.why_desk import explained

LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"[a-z_]+(\{{{LABEL}(,{LABEL})*\}})? (NaN|-?\d+(\.\d+)?(e-?\d+)?)")


def samples(metric: Metric) -> list[str]:
    return [line for line in text([metric]).splitlines() if not line.startswith("#")]


def test_a_metric_has_help_kind_and_samples() -> None:
    assert text([one("a_b", "gauge", "What it is.", 3)]) == "# HELP a_b What it is.\n# TYPE a_b gauge\na_b 3\n"
    assert text([Metric("none", "gauge", "Nothing.", [])]) == ""


@pytest.mark.parametrize(
    ("value", "told"), [(True, "1"), (0, "0"), (2.0, "2"), (0.25, "0.25"), (1e-7, "1e-07"), (math.nan, "NaN"), (1e20, str(10**20))]
)
def test_numbers(value: float, told: str) -> None:
    assert samples(one("a", "gauge", "A.", value)) == [f"a {told}"]


def test_labels_cannot_break_a_line() -> None:
    (line,) = samples(one("a", "gauge", "A.", 1, label='x"\\\n# y'))
    assert line == 'a{label="x\\"\\\\\\n# y"} 1'
    assert LINE.fullmatch(line)


def test_a_histogram_counts_what_is_not_above_each_bound() -> None:
    counts = Histogram((1, 2.5))
    for value in (0.5, 1.0, 2.0, 99.0):
        counts.note(value)
    lines = samples(histogram("h", "H.", counts))
    assert lines == ['h_bucket{le="1"} 2', 'h_bucket{le="2.5"} 3', 'h_bucket{le="+Inf"} 4', "h_sum 102.5", "h_count 4"]
    assert all(LINE.fullmatch(line) for line in lines)


# ------------------------------------------------------------------------------------------------ traces


def job(**more: Any) -> Job:
    return Job("j", 1.0, "done", created=100.0, started=101.5, ended=103.0, **more)


def events(*data: dict[str, Any]) -> list[JobEvent]:
    return [JobEvent("j", seq, 102.0 + seq, each) for seq, each in enumerate(data, 1)]


def bars(trace: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(each["name"], each["ts"], each["dur"]) for each in trace["traceEvents"] if each["ph"] == "X"]


def test_spans_become_bars_in_rows_of_their_threads() -> None:
    told = [{"event": "span", "name": name, "node": "n", "start": 102.0, "seconds": 0.5, "thread": f"t{name}"} for name in ("key", "run")]
    trace = json.loads(json.dumps(trace_of(job(title="T"), events(*told))))
    assert bars(trace) == [("queue", 100_000_000, 1_500_000), ("key", 102_000_000, 500_000), ("run", 102_000_000, 500_000)]
    rows = {each["args"]["name"]: each["tid"] for each in trace["traceEvents"] if each["name"] == "thread_name"}
    assert rows.keys() == {"queue", "tkey", "trun"}
    assert len(set(rows.values())) == 3
    assert trace["otherData"] == {"run": "j", "title": "T", "status": "done", "traced": True}


def test_without_spans_each_node_that_ran_is_a_bar() -> None:
    told = (
        {"event": "node_finished", "node": "a", "type": "A", "seconds": 0.25, "cached": False},
        {"event": "node_finished", "node": "b", "type": "B", "seconds": 0.0, "cached": True},
    )
    trace = trace_of(job(), events(*told))
    assert bars(trace)[1:] == [("A", 102_750_000, 250_000)]
    assert trace["otherData"]["traced"] is False


def test_a_run_that_never_began_waited_until_it_ended() -> None:
    never = Job("j", 1.0, "cancelled", created=100.0, ended=104.0)
    assert bars(trace_of(never, [])) == [("queue", 100_000_000, 4_000_000)]


# ------------------------------------------------------------------------------------------------ explanations


def test_each_node_is_told_with_what_became_of_it() -> None:
    document = {"nodegraph": 1, "nodes": {id: {"type": id.upper()} for id in "abcde"}}
    reasons = {"a": ["first run"], "b": [], "c": ["first run"], "d": ["input `x`: 1 -> 2"], "a/0.inner": ["first run"]}
    told = events(
        {"event": "run_started", "total": 3, "cached": ["c"]},
        {"event": "node_finished", "node": "a", "type": "A", "seconds": 0.5, "cached": False},
        {"event": "node_finished", "node": "b", "type": "B", "seconds": 0.1, "cached": False},
    )
    assert explained(document, reasons, told) == [
        {"node": "a", "type": "A", "ran": True, "seconds": 0.5, "reasons": ["first run"]},
        {"node": "b", "type": "B", "ran": True, "seconds": 0.1, "reasons": ["its result was not kept"]},
        {"node": "c", "type": "C", "ran": False, "seconds": None, "reasons": ["its result was at hand"]},
        {"node": "d", "type": "D", "ran": None, "seconds": None, "reasons": ["input `x`: 1 -> 2"]},
    ]
