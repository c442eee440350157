"""Flavors: Kedge keeps none, so they are what servers have, as virtual CPUs and memory."""

import re

from kedge.model.placement import MIB, Demand

from . import links
from .links import Json

_ID = re.compile(r"(0|[1-9]\d{0,8})vcpu-(0|[1-9]\d{0,8})mib", re.ASCII)


def flavor_id(demand: Demand) -> str:
    """What a flavor is called, and its id: `2vcpu-4096mib`."""
    return f"{demand.vcpus}vcpu-{demand.memory // MIB}mib"


def parsed(text: str) -> tuple[int, int] | None:
    """The virtual CPUs and the MiB of the flavor with this id; None if it is none."""
    form = _ID.fullmatch(text)
    return (int(form[1]), int(form[2])) if form else None


def embedded(demand: Demand) -> Json:
    """A flavor as it is in a server, from microversion 2.47 on."""
    return {
        "vcpus": demand.vcpus,
        "ram": demand.memory // MIB,
        "disk": 0,
        "ephemeral": 0,
        "swap": 0,
        "original_name": flavor_id(demand),
        "extra_specs": {},
    }


def referred(root: str, demand: Demand) -> Json:
    """A flavor as a server names it before microversion 2.47."""
    name = flavor_id(demand)
    return {"id": name, "links": links.of(root, "flavors", name)[1:]}
