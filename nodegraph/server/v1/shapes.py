"""What clients are answered: the shape of every JSON, checked by mypy where it is made, described by pydantic in the OpenAPI document."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict


class Error(TypedDict):
    """What is wrong with both sides, where, and the way out."""

    code: str
    """`E101` and so on; see the table of errors."""
    error: str
    message: str
    hint: NotRequired[str]
    node: NotRequired[str]
    node_type: NotRequired[str]
    input: NotRequired[str]
    errors: NotRequired[list[Error]]
    """All of them, if there are several."""


class Fault(TypedDict):
    error: Error


class Tokens(TypedDict):
    chunks: list[int]
    """Tokens of each chunk, without begin, end and padding."""
    size: int
    """How many fit into one."""


class Kept(TypedDict):
    """Of a saved workflow, without the workflow itself."""

    name: str
    title: str
    version: int
    modified: float
    """Seconds since 1970."""
    etag: str
    """For `If-Match`."""
    size: int
    thumbnail: str | None
    """Address of a small picture."""


class Stale(TypedDict):
    """The workflow was changed by somebody else; nothing was written."""

    error: Error
    present: Kept | None
    """What is there now; nothing if it was deleted."""


# ------------------------------------------------------------------------------------------------ nodes


class Nodes(TypedDict):
    """Every node type there is."""

    nodes: dict[str, dict[str, Any]]
    """By id: inputs with types, ranges and defaults, outputs, help."""
    types: dict[str, SocketType]
    casts: list[list[str]]
    """[target, source]: what is converted by itself on a link."""
    packs: dict[str, Pack]


class SocketType(TypedDict):
    color: str
    description: str
    parents: list[str]
    """Types that this one is a kind of."""


class Pack(TypedDict):
    nodes: list[str]
    code: str
    """Changes with the pack's code."""
    error: NotRequired[Error]
    """Why it could not be loaded."""


class Verdict(TypedDict):
    """Everything that is wrong with a workflow."""

    ok: bool
    problems: list[Error]
    left_out: list[Error]
    """Faults of nodes that no target needs; they do not stop a run."""
    warnings: list[str]
    format: str | None
    """What it was: `nodegraph`, `comfyui-api` or `comfyui-ui`."""
    nodes: int


class Converted(TypedDict):
    workflow: dict[str, Any]
    format: str
    """What it was."""
    warnings: list[str]
    """What could not be carried over unchanged."""


# ------------------------------------------------------------------------------------------------ workflows


class Script(TypedDict):
    script: str
    """A Python program."""
    warnings: list[str]
    """What could not be carried over unchanged from the format it was given in."""


class KeptList(TypedDict):
    workflows: list[Kept]


class KeptWorkflow(Kept):
    workflow: dict[str, Any]
    warnings: NotRequired[list[str]]
    """What could not be carried over from the format it was given in."""


class MyNodes(TypedDict):
    nodes: list[KeptWorkflow]
    """Each a workflow of one node that stands for a subgraph."""


class Version(TypedDict):
    version: int
    modified: float
    etag: str
    """What the workflow's was while this was its state."""
    size: int


class Versions(TypedDict):
    versions: list[Version]
    """Newest first."""


class OneVersion(Version):
    workflow: dict[str, Any]


class Template(TypedDict):
    name: str
    title: str
    description: str
    picture: str | None
    """Address of what it makes."""
    nodes: int
    tags: list[str]


class Templates(TypedDict):
    templates: list[Template]


class OneTemplate(Template):
    workflow: dict[str, Any]


# ------------------------------------------------------------------------------------------------ runs


class Run(TypedDict):
    """One run. Times are seconds since 1970."""

    id: str
    status: str
    """pending, running, done, failed or cancelled"""
    title: str
    number: float
    """Smaller ones run first."""
    created: float
    started: float | None
    ended: float | None
    attempt: int
    """2 if the worker was lost the first time."""
    targets: list[str] | None
    retry_of: str | None
    outputs: dict[str, list[dict[str, Any]]]
    """By node, what it shows: `kind`, and for instance `text` or `file`."""
    error: Error | None
    links: dict[str, str]


class Accepted(Run):
    warnings: NotRequired[list[str]]
    left_out: NotRequired[list[Error]]


class RunPage(TypedDict):
    runs: list[Run]
    total: int
    limit: int
    offset: int


class Queue(TypedDict):
    paused: bool
    running: list[Run]
    pending: list[Run]
    """In the order in which they will run."""
    remaining: int


class Cleared(TypedDict):
    cancelled: int


class RunDocument(TypedDict):
    workflow: dict[str, Any]


class RunEvent(TypedDict):
    """One line of a run's log."""

    seq: int
    """1, 2, 3, ...; 0 for what is told live only."""
    time: float
    event: str


class RunEvents(TypedDict):
    events: list[dict[str, Any]]
    last: int
    """Number of the last one, to go on behind it."""


class Explained(TypedDict):
    node: str
    type: str
    ran: bool | None
    """Whether it was run; nothing if the run has not come to it."""
    seconds: float | None
    reasons: list[str]


class Explanation(TypedDict):
    """Why each node of a run was run or not: what differs from an earlier run."""

    run: str
    since: str | None
    nodes: list[Explained]


# ------------------------------------------------------------------------------------------------ assets


class Asset(TypedDict):
    """A file by its content."""

    hash: str
    """SHA-256 of its bytes."""
    name: str
    """In its folder; of an input, what nodes call it."""
    folder: str
    """input, output or temp"""
    size: int
    mime: str
    url: str


class Uploaded(Asset):
    new: bool
    """False if the same contents were there already."""


class OutputAsset(Asset):
    node: str
    kind: str


class Assets(TypedDict):
    assets: list[OutputAsset]
    missing: list[str]
    """Files that are gone or were changed since."""
