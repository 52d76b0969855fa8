"""Faults of the API, in the one form of `nodegraph.errors`: E64x. `status`: of the answer."""

from __future__ import annotations

from typing import ClassVar

from nodegraph.errors import NodegraphError
from nodegraph.server.v1.shapes import Kept


class Stale(NodegraphError):
    """The workflow is another one by now than whoever wants to change it has seen. present: what is there."""

    code = "E641"
    status: ClassVar[int] = 412

    def __init__(self, message: str, present: Kept | None = None, **where: str | None) -> None:
        super().__init__(message, **where)
        self.present = present


class UnknownWorkflow(NodegraphError):
    code = "E642"
    status: ClassVar[int] = 404


class UnknownVersion(NodegraphError):
    code = "E643"
    status: ClassVar[int] = 404


class UnknownAsset(NodegraphError):
    code = "E644"
    status: ClassVar[int] = 404


class WorkerAway(NodegraphError):
    """Only the worker knows the answer, and it is not there now."""

    code = "E645"
    status: ClassVar[int] = 503
