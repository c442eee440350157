"""What of a domain XML is a secret, and the XML without it, for people to look at.

The transfer itself needs them, so only what is shown or stored goes through `without_secrets`.
"""

from .parse import parse, serialise

REDACTED = "(not shown)"

_ATTRIBUTES = (
    ("devices/graphics", "passwd"),  # libvirt shows it with VIR_DOMAIN_XML_SECURE or _MIGRATABLE only
    ("devices/disk//source", "query"),  # an HTTP disk's may hold a token
)
_TEXTS = (
    "devices/disk//cookies/cookie",
    "launchSecurity/dhCert",
    "launchSecurity/session",
    "sysinfo/entry",  # type='fwcfg': Ignition and cloud-init put passwords and keys there
    "sysinfo/oemStrings/entry",
)
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}commandline"


def without_secrets(xml: str) -> str:
    """The domain XML with every secret in it replaced by `REDACTED`; the same text if there is none.

    Console passwords, cookies and queries of network disks, keys of confidential VMs, firmware and OEM strings, and
    whatever is handed to QEMU directly. Raises BadRequest for text that is no domain XML.
    """
    root = parse(xml)
    found = False
    for path, name in _ATTRIBUTES:
        for element in root.iterfind(path):
            if element.get(name):
                element.set(name, REDACTED)
                found = True
    texts = [element for path in _TEXTS for element in root.iterfind(path)]
    for element in texts:
        if element.text:
            element.text = REDACTED
            found = True
    for element in root.iterfind(f"{_QEMU}/*"):
        if element.get("value"):
            element.set("value", REDACTED)
            found = True
    return serialise(root) if found else xml
