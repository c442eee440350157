"""No secret of a domain XML is shown, and nothing else of it changes."""

import pytest

from kedge.core.domain_xml import unified_diff, without_secrets

SECRETS = {
    "a VNC password": "<devices><graphics type='vnc' port='-1' passwd='hunter2'/></devices>",
    "a SPICE password": "<devices><graphics type='spice' passwd='hunter2'><listen type='none'/></graphics></devices>",
    "a disk's cookie": (
        "<devices><disk type='network'><source protocol='https' name='a'>"
        "<cookies><cookie name='session'>hunter2</cookie></cookies></source></disk></devices>"
    ),
    "a disk's query": (
        "<devices><disk type='network'><source protocol='https' name='a' query='token=hunter2'/></disk></devices>"
    ),
    "a backing image's query": (
        "<devices><disk><backingStore><source protocol='https' query='hunter2'/></backingStore></disk></devices>"
    ),
    "SEV's session": "<launchSecurity type='sev'><session>hunter2</session></launchSecurity>",
    "SEV's certificate": "<launchSecurity type='sev'><dhCert>hunter2</dhCert></launchSecurity>",
    "a firmware setting": "<sysinfo type='fwcfg'><entry name='opt/com.coreos/config'>hunter2</entry></sysinfo>",
    "an OEM string": "<sysinfo type='smbios'><oemStrings><entry>hunter2</entry></oemStrings></sysinfo>",
    "an argument of QEMU": (
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<q:arg value='secret,data=hunter2'/></q:commandline>"
    ),
    "a variable of QEMU": (
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<q:env name='KEY' value='hunter2'/></q:commandline>"
    ),
}


@pytest.mark.parametrize("part", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_not_shown(part: str) -> None:
    before = f"<domain type='kvm'>\n  <name>vm1</name>\n  {part}\n</domain>\n"
    shown = without_secrets(before)
    assert "hunter2" not in shown
    changed = [line for line in unified_diff(before, shown, "a", "b").splitlines() if line[:1] in "+-"]
    assert all(
        "hunter2" in line or "(not shown)" in line for line in changed if line[:3] not in ("---", "+++")
    )
    assert without_secrets(shown) == shown


def test_what_has_no_secret_stays_as_it_is() -> None:
    xml = (
        "<domain><devices><graphics type='vnc' passwd=''/><disk><source file='/a'/></disk></devices></domain>"
    )
    assert without_secrets(xml) is xml
