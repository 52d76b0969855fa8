"""Faults of the HTTP side and its set-up, in the one form of `nodegraph.errors`: E62x and E63x."""

from __future__ import annotations

from nodegraph.errors import NodegraphError


class BadSetting(NodegraphError):
    code = "E621"


class PortTaken(NodegraphError):
    code = "E622"


class RequestRefused(NodegraphError):
    """A request that comes from where none may come from."""

    code = "E631"


class NoToken(NodegraphError):
    code = "E632"


class WrongContentType(NodegraphError):
    code = "E633"


class BadRequest(NodegraphError):
    """A request that leaves out or garbles what its route needs."""

    code = "E634"


class AlreadyThere(NodegraphError):
    code = "E635"


class StorageFull(NodegraphError):
    """A quota is used up."""

    code = "E636"


class TooSlow(NodegraphError):
    code = "E637"
