"""Which URIs a host may be reached at for a migration.

They come from the agent of the host that is meant, and another host's libvirtd, which is root, opens them. In a URI of
libvirt (its page "Connection URIs") a parameter may name a program to run (`command`) or a socket, and the transport
`ext` is nothing else; so only what leads to a libvirtd over the network is taken. libvirt separates parameters by ";"
too, and decodes "%": neither is taken at all, so nothing can be read in two ways.
"""

import re

from kedge.model.errors import BadRequest

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:\d{1,5})?"
_LIBVIRT = re.compile(
    rf"qemu\+(tls|tcp|ssh|libssh|libssh2)://([A-Za-z0-9_][A-Za-z0-9._-]*@)?{_HOST}/(system|session)"
    r"(\?(?P<parameters>[A-Za-z0-9_=&/.,+-]*))?"
)
_FOR_TESTS = re.compile(r"test:///[a-z]+")
_STREAM = re.compile(rf"(tcp|rdma)://{_HOST}/?")
_PARAMETERS = frozenset(
    ("keyfile", "known_hosts", "known_hosts_verify", "no_sanity", "no_tty", "no_verify", "pkipath", "sshauth")
)


def check_libvirt_uri(uri: str) -> None:
    """Raises BadRequest unless this leads to a libvirtd with QEMU on another host and says nothing else."""
    found = _LIBVIRT.fullmatch(uri)
    if found is None:
        if _FOR_TESTS.fullmatch(uri):
            return
        raise BadRequest(
            f"{uri[:200]!r} is no URI to migrate to; write it as qemu+tls://HOST/system (or qemu+ssh, qemu+tcp)."
        )
    for each in filter(None, (found["parameters"] or "").split("&")):
        name = each.partition("=")[0]
        if name not in _PARAMETERS:
            raise BadRequest(
                f"{uri[:200]!r} has the parameter {name!r}; taken are {', '.join(sorted(_PARAMETERS))}."
            )


def check_migrate_uri(uri: str) -> None:
    """Raises BadRequest unless this says where QEMU's stream comes in: `tcp://HOST`, perhaps with a port."""
    if not _STREAM.fullmatch(uri):
        raise BadRequest(f"{uri[:200]!r} is no address of a migration's stream; write it as tcp://HOST.")
