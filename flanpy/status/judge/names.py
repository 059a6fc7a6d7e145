"""Judges whether containers of this host get answers when they ask for names."""

from __future__ import annotations

from flanpy.model.condition import Condition, ConditionType
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good

_KIND = ConditionType.NAMES_SERVED


def served(inputs: Inputs, _now: float) -> Condition:
    """Judge the resolver and its sources. Names that are as old as the lost etcd are that condition's to tell."""
    names = inputs.names
    if names is None:
        return good(_KIND, "NotAsked", "no resolver is wanted here: dns-listen is off")
    if names.error:
        return bad(_KIND, "NotListening", names.error, "free that address, or set another dns-listen")
    if not names.told:
        text = "nobody tells what Docker's containers are called: other hosts do not find those of this host"
        return bad(_KIND, "NoNames", text, "systemctl enable --now flanpy-docker-names.service")
    age = "; names of other hosts are those last heard" if names.stale else ""
    return good(_KIND, "Serving", f"the resolver answers on {names.listen}{age}")
