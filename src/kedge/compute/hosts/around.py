"""A registry of hosts in front of another one."""

from collections.abc import Collection

from kedge.model.host import Host
from kedge.network.service import HostRegistry
from kedge.wire.messages import HostDuties, HostReport


class HostsAround:
    """A `HostRegistry` that passes everything on; subclasses add to the calls that they define anew."""

    def __init__(self, hosts: HostRegistry) -> None:
        self._hosts = hosts

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        self._hosts.record_host(report)

    def duties(self, host: str) -> HostDuties:
        """What a host's agent is to keep plugged."""
        return self._hosts.duties(host)

    def hosts(self, names: Collection[str] | None = None) -> list[Host]:
        """All hosts by name, or these of them, dead ones too."""
        return self._hosts.hosts(names)

    def host(self, name: str) -> Host:
        """The host of this name. Raises NotFound."""
        return self._hosts.host(name)

    def force_down(self, name: str, forced_down: bool) -> Host:
        """Note that a host is off, or take that back. Raises NotFound."""
        return self._hosts.force_down(name, forced_down)
