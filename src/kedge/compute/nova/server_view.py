"""A server as Nova shows it."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kedge.model.host import Host
from kedge.model.network import ServerAddress
from kedge.model.placement import Demand

from . import flavors, links, states
from .caller import PROJECT
from .fields import ATTRIBUTES, FLAVOR_EMBEDDED, STATES, USAGE, shown
from .links import Json

ZONE = "nova"
"""The one availability zone."""


@dataclass(frozen=True)
class Around:
    """What is read beside servers, to show them whole: their addresses, their hosts, and who takes no servers."""

    addresses: Mapping[str, Sequence[ServerAddress]] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()


class ServerView:
    """Shows servers to one caller, at one microversion."""

    def __init__(self, root: str, version: int, *, admin: bool, listed: bool) -> None:
        """`root` is the beginning of links; `listed`: in a list."""
        self._root = root
        self._version = version
        self._names = shown(version, admin=admin, listed=listed)

    @property
    def shows_hosts(self) -> bool:
        """Whether anything is shown that hosts have to be read for."""
        return "host_status" in self._names

    def brief(self, row: Any) -> Json:
        """What lists without details have."""
        return {"id": row.id, "name": row.name, "links": links.of(self._root, "servers", row.id)}

    def detailed(self, row: Any, around: Around) -> Json:
        """All that is shown to this caller."""
        state = states.SERVERS[row.status]
        project = row.labels.get(PROJECT, "")
        demand = Demand(**row.demand)
        embedded = self._version >= FLAVOR_EMBEDDED
        every: Json = {
            **self.brief(row),
            "status": row.status,
            "tenant_id": project,
            "user_id": "",
            "metadata": row.labels,
            "hostId": hashlib.sha224(f"{project}{row.host}".encode()).hexdigest(),
            "image": "",
            "flavor": flavors.embedded(demand) if embedded else flavors.referred(self._root, demand),
            "created": when(row.created_at),
            "updated": when(row.updated_at),
            "addresses": _addresses(around.addresses.get(row.id, ())),
            "accessIPv4": "",
            "accessIPv6": "",
            "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": ZONE,
            "config_drive": "",
            "key_name": None,
            f"{USAGE}launched_at": moment(row.created_at),
            f"{USAGE}terminated_at": None,
            f"{ATTRIBUTES}host": row.host,
            f"{ATTRIBUTES}instance_name": row.name,
            f"{ATTRIBUTES}hypervisor_hostname": row.host,
            f"{ATTRIBUTES}reservation_id": f"r-{row.id[:8]}",
            f"{ATTRIBUTES}launch_index": 0,
            f"{ATTRIBUTES}hostname": row.name,
            f"{ATTRIBUTES}kernel_id": "",
            f"{ATTRIBUTES}ramdisk_id": "",
            f"{ATTRIBUTES}root_device_name": None,
            f"{ATTRIBUTES}user_data": None,
            f"{STATES}task_state": state.task,
            f"{STATES}vm_state": state.vm,
            f"{STATES}power_state": state.power,
            "os-extended-volumes:volumes_attached": [],
            "locked": False,
            "host_status": _host_status(row.host, around) if self.shows_hosts else "",
            "description": None,
            "tags": [],
            "trusted_image_certificates": None,
            "server_groups": [],
            "locked_reason": None,
            "pinned_availability_zone": None,
        }
        if row.status in states.PROGRESSING:
            every["progress"] = 0
        return {name: value for name, value in every.items() if name in self._names}


def when(at: datetime) -> str:
    """A time as most of Nova's answers have it, in whole seconds of UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(at: datetime) -> str:
    """A time as Nova writes those that it keeps to the microsecond, without a zone."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _addresses(found: Sequence[ServerAddress]) -> Json:
    by_network: dict[str, list[Json]] = defaultdict(list)
    for each in found:
        by_network[each.network].append(
            {
                "version": 6 if ":" in each.ip_address else 4,
                "addr": each.ip_address,
                "OS-EXT-IPS:type": "fixed",
                "OS-EXT-IPS-MAC:mac_addr": each.mac_address,
            }
        )
    return dict(by_network)


def _host_status(name: str, around: Around) -> str:
    host = around.hosts.get(name)
    if host is None:
        return "UNKNOWN"
    if name in around.disabled:
        return "MAINTENANCE"
    return "UP" if host.alive else "DOWN" if host.forced_down else "UNKNOWN"
