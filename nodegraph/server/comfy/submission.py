"""What is posted to `/prompt`, read and checked: a `Submission`, or a refusal in ComfyUI's shape. Knows nothing of the web."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nodegraph import errors as e
from nodegraph.comfy.aliases import find_alias
from nodegraph.comfy.api_json import MAX_ID, read_api
from nodegraph.document import MAX_REPORTED, Document, Link
from nodegraph.files import Files
from nodegraph.graph import build
from nodegraph.registry import Registry
from nodegraph.server.comfy.node_errors import Error, error, node_errors
from nodegraph.server.comfy.object_info import ObjectInfo
from nodegraph.server.queue.model import Submission
from nodegraph.server.queue.store.packing import encode

MAX_JOB_ID: Final = 200
ROUNDS: Final = 16
"""how often a graph with more faults than are told at once is looked at again for outputs that could still be had"""
_SECRET = re.compile(r"(^|_)(key|token|secret|password|passphrase|passwd|credential|auth|authorization|bearer|cookie|session)s?($|_)")


class Refused(Exception):
    """The answer to a prompt that cannot be queued: `{"error": ..., "node_errors": ...}` with a status."""

    def __init__(self, error: Error, node_errors: Mapping[str, Any] | None = None, status: int = 400) -> None:
        super().__init__(error["message"])
        self.status = status
        self.body = {"error": error, "node_errors": dict(node_errors or {})}


@dataclass(frozen=True, slots=True)
class Accepted:
    """node_errors: faults of outputs that are left out of the run. named: the client chose the id"""

    submission: Submission
    named: bool = False
    node_errors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def may_be_kept(self) -> bool:
        """Whether the same request would be read in the same way again, and nothing secret is in it."""
        return not self.node_errors and not self.submission.secrets

    def again(self) -> Accepted:
        """The same for another run, unless the client's id makes it the same run."""
        return self if self.named else replace(self, submission=replace(self.submission, id=str(uuid.uuid4())))


Ahead = Callable[[str, Sequence[str]], None]
"""hears of a document, as JSON, and its targets as soon as they are known, before they are checked"""


def read_request(body: Any, registry: Registry, files: Files, info: ObjectInfo, ahead: Ahead = lambda document, targets: None) -> Accepted:
    """Read the body of `POST /prompt`. Raises Refused."""
    if not isinstance(body, dict) or "prompt" not in body:
        raise Refused(error("no_prompt", "No prompt provided", "No prompt provided"))
    prompt = body["prompt"]
    _check_form(prompt)
    _check_types(prompt, registry)
    document, faults = _read(prompt, registry)
    outputs = _outputs(document, registry, body.get("partial_execution_targets"))
    data = document.to_json()
    text = encode(data)
    if not faults:
        ahead(text, outputs)
    good, faults = _check(document, registry, files, outputs, faults)
    told = faults[:MAX_REPORTED]
    bad = node_errors(told, prompt, info, _dependents(document, told, outputs)) if told else {}
    if not good:
        raise Refused(_all_failed(bad), bad)
    return Accepted(_submission(body, prompt, data, text, good), body.get("prompt_id") is not None, bad)


# --------------------------------------------------------------------------------------------- form


def _invalid(message: str, details: str = "", **extra: Any) -> Refused:
    return Refused(error("invalid_prompt", message, details, **extra))


def _check_form(prompt: Any) -> None:
    if not isinstance(prompt, dict):
        raise _invalid("The prompt is not an object of nodes by id", e.shorten(prompt))
    for id, node in prompt.items():
        if not 0 < len(id) <= MAX_ID:
            raise _invalid(f"A node id must have 1 to {MAX_ID} characters", f"Node ID '#{e.shorten(id)}'")
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            message = "Cannot execute because a node is missing the class_type property."
            raise _invalid(message, f"Node ID '#{e.shorten(id)}'")
        if not isinstance(node.get("inputs", {}), dict):
            raise _invalid("The inputs of a node are not an object of values by name", f"Node ID '#{e.shorten(id)}'")


def _check_types(prompt: Mapping[str, Any], registry: Registry) -> None:
    for id, node in prompt.items():
        type_ = node["class_type"]
        alias = find_alias(type_)
        if (alias.ours if alias is not None else type_) not in registry:
            meta = node.get("_meta")
            title = meta.get("title") if isinstance(meta, dict) else None
            shown = e.shorten(title if isinstance(title, str) and title else type_)
            extra = {"node_id": e.shorten(id, MAX_ID), "class_type": e.shorten(type_, MAX_ID), "node_title": shown}
            message = f"Node '{shown}' not found. The custom node may not be installed."
            raise Refused(error("missing_node_type", message, f"Node ID '#{e.shorten(id)}'", **extra))


def _read(prompt: dict[str, Any], registry: Registry) -> tuple[Document, list[e.NodegraphError]]:
    if not prompt:
        return Document({}), []
    try:
        converted, faults = read_api(prompt, registry)
    except e.NodegraphError as refusal:
        raise _invalid(refusal.message) from refusal
    for fault in faults:
        fault.input = _our_name(prompt, fault)
    for entry in converted.document.nodes.values():
        spec = registry.specs.get(entry.type)
        if spec is not None and not entry.inputs.keys() <= spec.inputs.keys():
            # ComfyUI passes over constants for inputs that a node does not have
            kept = {name: value for name, value in entry.inputs.items() if name in spec.inputs or type(value) is Link}
            entry.inputs = kept
    return converted.document, faults


def _our_name(prompt: Mapping[str, Any], fault: e.NodegraphError) -> str | None:
    """What we call the input that a fault is about, so that the check of the graph does not tell of it a second time."""
    alias = find_alias(prompt[fault.node]["class_type"]) if fault.node is not None and fault.node in prompt else None
    entry = alias.find(fault.input) if alias is not None and fault.input is not None else None
    return entry.ours if entry is not None else fault.input


# --------------------------------------------------------------------------------------------- outputs


def _outputs(document: Document, registry: Registry, wanted: Any) -> tuple[str, ...]:
    """Nodes that save or show something, of the wanted ones if there are any named."""
    if wanted is not None and not isinstance(wanted, list):
        raise _invalid("partial_execution_targets is not a list of node ids", e.shorten(wanted))
    chosen = None if wanted is None else {id for id in wanted if isinstance(id, str)}
    nodes = document.nodes.items()
    found = tuple(id for id, entry in nodes if registry.specs[entry.type].output_node and (chosen is None or id in chosen))
    if not found:
        raise Refused(error("prompt_no_outputs", "Prompt has no outputs"))
    return found


def _check(
    document: Document, registry: Registry, files: Files, outputs: Sequence[str], known: Iterable[e.NodegraphError]
) -> tuple[tuple[str, ...], list[e.NodegraphError]]:
    """The outputs that can be had, and all faults found."""
    faults = {(fault.node, fault.input): fault for fault in known}
    good = tuple(outputs)
    for _ in range(ROUNDS):
        hidden, found = _faults(document if len(good) == len(outputs) else _needed_for(good, document), registry, files, good)
        for fault in found:
            faults.setdefault((fault.node, fault.input), fault)
        lost = _reached((fault.node for fault in faults.values() if fault.node is not None), _consumers(document)) if faults else set()
        good = tuple(id for id in good if id not in lost)
        if not good or not hidden:
            return good, list(faults.values())
    return (), list(faults.values())


def _needed_for(outputs: Iterable[str], document: Document) -> Document:
    """The part of a document that these outputs depend on."""
    links = {id: [value.node for value in entry.inputs.values() if type(value) is Link] for id, entry in document.nodes.items()}
    needed = _reached(outputs, links)
    return Document({id: entry for id, entry in document.nodes.items() if id in needed})


def _faults(document: Document, registry: Registry, files: Files, targets: Sequence[str]) -> tuple[int, Sequence[e.NodegraphError]]:
    """(how many more there are, the faults that are told)."""
    try:
        return 0, build(document, registry, files, targets).left_out
    except e.Problems as problems:
        return problems.hidden, problems.errors


def _dependents(document: Document, faults: Iterable[e.NodegraphError], outputs: Sequence[str]) -> dict[str, list[str]]:
    """By faulty node, the outputs among `outputs` that come after it."""
    after = _consumers(document)
    found: dict[str, list[str]] = {}
    for id in {fault.node for fault in faults if fault.node is not None}:
        reached = _reached((id,), after)
        found[id] = [output for output in outputs if output in reached]
    return found


def _consumers(document: Document) -> dict[str, list[str]]:
    """By node, those that take something from it."""
    after: dict[str, list[str]] = {}
    for id, entry in document.nodes.items():
        for value in entry.inputs.values():
            if type(value) is Link:
                after.setdefault(value.node, []).append(id)
    return after


def _reached(starts: Iterable[str], links: Mapping[str, Sequence[str]]) -> set[str]:
    """The given nodes, and all that links lead to from them."""
    seen = set(starts)
    stack = list(seen)
    while stack:
        for id in links.get(stack.pop(), ()):
            if id not in seen:
                seen.add(id)
                stack.append(id)
    return seen


def _all_failed(bad: Mapping[str, Any]) -> Error:
    lines = [f"{told['message']}: {told['details']}" for entry in bad.values() for told in entry["errors"]]
    return error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(lines))


# --------------------------------------------------------------------------------------------- the rest of the request


def _submission(
    body: Mapping[str, Any], prompt: Mapping[str, Any], document: dict[str, Any], text: str, outputs: tuple[str, ...]
) -> Submission:
    extra = body.get("extra_data")
    shown, secrets = without_secrets(extra if isinstance(extra, dict) else {})
    origin = {"prompt": prompt, "extra_data": shown, "outputs_to_execute": list(outputs)}
    return Submission(
        id=_job_id(body),
        document=document,
        targets=outputs,
        number=_number(body.get("number")),
        front=bool(body.get("front")),
        client=_client(body.get("client_id")),
        previews=shown.get("preview_method") != "none",
        origin=origin,
        secrets=secrets,
        document_text=text,
        origin_text=encode(origin),
    )


def _client(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not is_client_id(value):
        raise _invalid("The client_id cannot be used", f"at most {MAX_JOB_ID} printable characters", client_id=e.shorten(value))
    return value


def is_client_id(text: str) -> bool:
    """Whether a websocket may have this name; the empty one is nobody."""
    return len(text) <= MAX_JOB_ID and text.isprintable()


def _job_id(body: Mapping[str, Any]) -> str:
    given = body.get("prompt_id")
    if given is None:
        return str(uuid.uuid4())
    id = str(given) if isinstance(given, str | int) else ""
    if not 0 < len(id) <= MAX_JOB_ID or not id.isprintable() or "/" in id:
        details = f"1 to {MAX_JOB_ID} printable characters without a slash; best a UUID"
        raise Refused(error("invalid_prompt_id", "The prompt_id cannot be used", details, prompt_id=e.shorten(given)))
    return id


def _number(value: Any) -> float | None:
    """Where in the queue; smaller runs first."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _invalid("The number is not a finite number", e.shorten(value))
    return number


def without_secrets(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(`extra_data` as it may be stored and shown, what its keys say is a key, a token or the like).

    A workflow of the editor is left as it is: what stands in it is part of the user's work.
    """
    shown: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    for name, value in extra.items():
        if is_secret(name):
            secrets[name] = value if isinstance(value, str) else json.dumps(value)
        elif isinstance(value, dict) and name != "workflow":
            shown[name], inner = without_secrets(value)
            secrets.update(inner)
        else:
            shown[name] = value
    return shown, secrets


def is_secret(name: str) -> bool:
    """Whether a key names something that must not be seen: `api_key_comfy_org`, `authToken`, `password`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name[:LONGEST_KEY]).lower()
    return len(name) > LONGEST_KEY or _SECRET.search(words) is not None


LONGEST_KEY: Final = 200
