"""What must hold in the end, by looking at the hosts and the database themselves, not at Kedge's own word."""

from collections.abc import Sequence
from dataclasses import dataclass

from .. import tour
from .cloud import ChaosCloud

RUNNING = "running"


@dataclass(frozen=True)
class Guest:
    """The VM whose fate is looked at, and the addresses at which it must answer."""

    id: str
    name: str
    addresses: tuple[str, ...]


def shortcomings(cloud: ChaosCloud, guest: Guest, guests: Sequence[Guest] = ()) -> list[str]:
    """Everything that is not as it must be with a VM; empty if all is well.

    `guests` are all VMs of the lab, where it is not the only one: then other hosts may hold their devices.
    """
    where = _domains(cloud, guest)
    found = [f"{host} holds the domain {state}" for host, state in where.items() if state != RUNNING]
    hosts = [host for host, state in where.items() if state == RUNNING]
    if len(hosts) != 1:
        return [*found, f"the VM runs on {hosts or 'no host'}"]
    found += _bindings(cloud, guest, hosts[0])
    for name in set(cloud.lab.hosts) - {hosts[0]}:
        found += [f"{name} still has {device}" for device in _devices(cloud, name, guest, guests)]
    return found + [f"{each} does not answer" for each in guest.addresses if not tour.answers(cloud, each)]


def _devices(cloud: ChaosCloud, host: str, guest: Guest, guests: Sequence[Guest]) -> list[str]:
    node = cloud.lab.hosts[host]
    devices = [*node.devices(), *node.ovs_ports()]
    if not guests:
        return devices
    # Devices that are made for a port have its id in their names.
    rows = cloud.database.rows("SELECT id FROM ports WHERE device_id = %s", guest.id)
    return [each for each in devices if any(port[:11] in each for (port,) in rows)]


def _domains(cloud: ChaosCloud, guest: Guest) -> dict[str, str]:
    """Each host's state of the VM's domain, as virsh says, of those that have it."""
    states = {}
    for name, node in cloud.lab.hosts.items():
        answer = node.virsh("domstate", guest.id, check=False)
        if answer.returncode == 0:
            states[name] = answer.stdout.strip()
    return states


def _bindings(cloud: ChaosCloud, guest: Guest, host: str) -> list[str]:
    rows = cloud.database.rows(
        "SELECT p.id, b.host, b.status, b.vif_type FROM ports p LEFT JOIN bindings b ON b.port_id = p.id"
        " WHERE p.device_id = %s",
        guest.id,
    )
    wrong = [
        f"port {port} is {status}/{vif_type} on {at}"
        for port, at, status, vif_type in rows
        if (at, status) != (host, "ACTIVE") or vif_type in ("unbound", "binding_failed")
    ]
    servers = cloud.database.rows("SELECT host, status FROM servers WHERE id = %s", guest.id)
    return wrong + [f"the server is recorded {row}" for row in servers if row != (host, "ACTIVE")]
