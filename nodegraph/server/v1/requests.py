"""What clients send: pydantic models, strict, with nothing unknown in them. Imported by the first request that needs one, not at start."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._~-]+$")]
NodeId = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Kind = Literal["nodegraph", "comfyui-api"]
Status = Literal["pending", "running", "done", "failed", "cancelled"]


class Given(BaseModel):
    """Nothing is converted, nothing is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Asked(BaseModel):
    """The part of an address behind `?`, where everything is text."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class WorkflowGiven(Given):
    """A workflow and changes of it. A workflow alone, without the object around it, is taken as well."""

    workflow: dict[str, Any] | str
    """Of any accepted format (nodegraph JSON, ComfyUI's API JSON or editor JSON), or the name of a saved one, else of a template."""
    overrides: dict[str, Any] = Field(default={}, examples=[{"sample.seed": 7}])
    """Inputs to replace: NODE.INPUT, where NODE is an id, or a title or type that only one node has."""

    @model_validator(mode="before")
    @classmethod
    def _around(cls, data: Any) -> Any:
        return {"workflow": data} if is_workflow(data) else data


def is_workflow(data: Any) -> bool:
    """Whether this is a workflow itself, rather than a request with one: a node may be called `workflow` too."""
    if not isinstance(data, dict):
        return False
    inner = data.get("workflow")
    return "workflow" not in data or (isinstance(inner, dict) and "class_type" in inner) or "nodegraph" in data


class CheckRequest(WorkflowGiven):
    """What would be run."""

    targets: Annotated[list[NodeId], Field(max_length=100_000)] | None = None
    """Nodes to run; without it every node that saves or shows something."""


class TokensRequest(Given):
    """A prompt."""

    text: Annotated[str, Field(max_length=100_000)]
    syntax: Literal["extended", "comfyui"] = "extended"
    """As of the node `CLIPEncode`."""


class ConvertRequest(WorkflowGiven):
    """What to convert, and into what."""

    to: Kind = "nodegraph"


class RunRequest(CheckRequest):
    """A run as it is asked for."""

    id: Id | None = None
    """Chosen by you, so that sending the same request again does not run it again; left out, one is made."""
    title: Annotated[str, StringConstraints(max_length=1000)] = ""
    """What lists call it; left out, the workflow's own title."""
    front: bool = False
    """Before everything that waits."""
    number: Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)] | None = None
    """Where in the queue: smaller ones run first. Left out, at the end."""
    previews: bool = True
    """Tell pictures of work in progress."""
    trace: bool = False
    """Note where the time goes; see `/runs/{id}/trace`."""
    secrets: dict[Annotated[str, StringConstraints(max_length=200)], str] = Field(default={}, repr=False)
    """Keys for services that nodes ask for by name. Never stored and never shown; a run that survives a restart has lost them."""


class MoveRequest(Given):
    """Where a waiting run is moved: one of the two."""

    number: Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)] | None = None
    front: bool = False


class WorkflowToSave(WorkflowGiven):
    """A workflow to keep."""


class RenameRequest(Given):
    """What a kept workflow is called from now on."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RunsAsked(Asked):
    status: str = ""
    """One status or several with commas between: pending, running, done, failed, cancelled."""
    sort: Literal["created", "number", "ended", "duration"] = "created"
    order: Literal["asc", "desc"] = "desc"
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0
    search: Annotated[str, StringConstraints(max_length=200)] = ""
    """Words: only runs that have all of them in their title, in the names of files that they saved, or in what their nodes were told."""


class EventsAsked(Asked):
    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Begin behind this number; a header `Last-Event-ID` goes before it."""
    previews: bool = False
    """Also pictures of work in progress."""


class ExplainAsked(Asked):
    since: str | None = None
    """The run to compare with; left out, the last earlier one of much the same workflow."""


class AssetAsked(Asked):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """What the file is to be called; one with other contents is not replaced, the new one is then called `name (1)`."""
    folder: Annotated[str, StringConstraints(max_length=500)] = ""
    """Below the input folder."""


class DeleteAsked(Asked):
    versions: bool = False
    """Also erase all versions; else the workflow can be restored from them."""
