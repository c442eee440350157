"""What this host's libvirt and QEMU say they can do."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import libvirt
from lxml import etree

from kedge.agent.host.in_time import InTime
from kedge.agent.host.postcopy import postcopy_problem
from kedge.core.migration_uris import check_libvirt_uri
from kedge.model.errors import BadRequest
from kedge.model.host_facts import FactsRequest, HypervisorFacts, MachineWanted

PATIENCE_S = 8.0
"""A firewall that drops what it does not like makes a connection wait for minutes; so long a plan waits.

With SSH, a slow name server alone takes five seconds.
"""


class HypervisorLooks:
    """Asks libvirt."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._in_time: dict[str, InTime] = {}  # one for each host that VMs go to

    def look(self, connection: Any, request: FactsRequest) -> HypervisorFacts:
        """All that the request asks for; a problem is in libvirt's words."""
        wanted = request.machine or MachineWanted()
        host, qemu_version = _host(connection), _number(connection.getVersion)
        capabilities: list[str] = []
        machine_problem = ""
        if request.machine:
            machine_problem = _refusal(lambda: capabilities.append(_capabilities(connection, wanted)))
        return HypervisorFacts(
            libvirt_version=connection.getLibVersion(),
            qemu_version=qemu_version,
            uuid=host.findtext("uuid") or "",
            cpu=_cpu_of(host),
            capabilities="".join(capabilities),
            machine_problem=machine_problem,
            cpu_problem=_cpu_problem(connection, wanted, request),
            connect_problem=self._connect_problem(request.connect_to),
            postcopy_problem=postcopy_problem(host, qemu_version),
        )

    def _connect_problem(self, uri: str) -> str:
        if not uri:
            return ""
        try:
            check_libvirt_uri(uri)
        except BadRequest as error:
            return str(error)
        in_time = self._in_time.setdefault(uri, InTime(self._patience_s))
        answer = in_time.run(lambda: _refusal(lambda: _connect(uri)))
        if answer is None:
            where = urlsplit(uri).netloc or uri
            return f"no answer from {where} within {self._patience_s:g} s"
        return answer


def _host(connection: Any) -> etree._Element:
    found = etree.fromstring(connection.getCapabilities().encode()).find("host")
    return etree.Element("host") if found is None else found


def _cpu_of(host: etree._Element) -> str:
    cpu = host.find("cpu")
    return "" if cpu is None else etree.tostring(cpu, encoding="unicode", with_tail=False)


def _capabilities(connection: Any, wanted: MachineWanted) -> str:
    return str(
        connection.getDomainCapabilities(
            wanted.emulator or None, wanted.arch or None, wanted.machine or None, wanted.virt_type or None
        )
    )


def _cpu_problem(connection: Any, wanted: MachineWanted, request: FactsRequest) -> str:
    flags = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
    problem = ""
    if request.cpu:
        problem = _refusal(
            lambda: connection.compareHypervisorCPU(
                wanted.emulator or None,
                wanted.arch or None,
                wanted.machine or None,
                wanted.virt_type or None,
                request.cpu,
                flags,
            ),
            libvirt.VIR_ERR_CPU_INCOMPATIBLE,
        )
    if request.host_cpu and not problem:
        problem = _refusal(
            lambda: connection.compareCPU(request.host_cpu, flags), libvirt.VIR_ERR_CPU_INCOMPATIBLE
        )
    return problem


def _connect(uri: str) -> None:
    """As the source's libvirtd connects to a destination's for a peer-to-peer migration: nobody is asked anything."""
    libvirt.openAuth(uri, [[], lambda *_: -1, None]).close()


def _refusal(ask: Callable[[], object], *only: int) -> str:
    """Why libvirt says no, "" if it does not. With `only`, other errors are no answer to what was asked."""
    try:
        ask()
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_NO_SUPPORT or (only and code not in only):
            return ""
        return str(error)
    return ""


def _number(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except libvirt.libvirtError:
        return 0
