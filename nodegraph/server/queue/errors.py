"""Faults of the queue and the server, in the one form of `nodegraph.errors`: E6xx."""

from __future__ import annotations

from nodegraph.errors import NodegraphError


class Conflict(NodegraphError):
    """What was asked does not go with what is there: an id taken by another run, a job that is past that."""

    code = "E601"
    status = 409


class UnknownJob(NodegraphError):
    code = "E602"
    status = 404


class QueueFull(NodegraphError):
    code = "E603"
    status = 429


class WorkerLost(NodegraphError):
    """The process that executed a run died or hung, again after a retry."""

    code = "E604"


class StateInUse(NodegraphError):
    """Another server works in this state folder: two would run each other's jobs."""

    code = "E605"
