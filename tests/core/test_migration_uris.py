"""A URI that another host's libvirtd opens as root leads to a libvirtd, and to nothing else."""

import pytest

from kedge.core.migration_uris import check_libvirt_uri, check_migrate_uri
from kedge.model.errors import BadRequest


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+tls://192.0.2.11/system",
        "qemu+tcp://[2001:db8::1]:16509/system",
        "qemu+ssh://root@h2.example/system",
        "qemu+ssh://kedge@h2:2222/system?keyfile=/etc/kedge/id_ed25519&no_verify=1",
        "qemu+libssh2://h2/session?known_hosts=/etc/kedge/known_hosts",
        "qemu+tls://h2/system?pkipath=/etc/kedge/pki",
        "test:///default",
    ],
)
def test_what_leads_to_a_libvirtd_is_taken(uri: str) -> None:
    check_libvirt_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "qemu:///system",
        "qemu+unix:///system?socket=/tmp/mine",
        "qemu+ext://h2/system?command=/tmp/x",
        "qemu+ssh://h2/system?command=/tmp/x",
        "qemu+ssh://h2/system?no_verify=1&command=/tmp/x",
        "qemu+ssh://h2/system?no_verify=1;command=/tmp/x",
        "qemu+ssh://h2/system?comman%64=/tmp/x",
        "qemu+ssh://h2/system?netcat=/tmp/x",
        "qemu+ssh://h2/system?socket=/tmp/x",
        "qemu+ssh://h2/system?proxy=netcat",
        "qemu+ssh://h2/system?name=qemu:///session",
        "qemu+ssh://-oProxyCommand=x/system",
        "qemu+ssh://-l@h2/system",
        "qemu+ssh://h2/system#?command=/tmp/x",
        "qemu+ssh://h2/system\n",
        "qemu+ssh:///system",
        "qemu+ssh://h2/../system",
        "QEMU+ssh://h2/system",
        "xen+ssh://h2/system",
        "test:///tmp/file.xml",
    ],
)
def test_what_may_lead_elsewhere_is_refused(uri: str) -> None:
    with pytest.raises(BadRequest, match=r"no URI to migrate to|has the parameter"):
        check_libvirt_uri(uri)


def test_a_stream_goes_to_another_host_over_the_network() -> None:
    for uri in ("tcp://192.0.2.11", "tcp://h2:49152", "rdma://h2", "tcp://[2001:db8::1]/"):
        check_migrate_uri(uri)
    for uri in ("", "unix:///tmp/x", "exec:sh", "tcp:h2", "tcp://", "tcp://h2/x", "tcp://h2?x", "fd:3"):
        with pytest.raises(BadRequest, match="no address of a migration's stream"):
            check_migrate_uri(uri)
