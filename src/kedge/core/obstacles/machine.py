"""The virtual machine itself: its type, its CPU, and devices that QEMU on the destination does not have."""

from collections.abc import Iterator

from lxml import etree

from kedge.core.domain_xml.parse import MAX_BYTES
from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "machine-unsupported": "the destination's QEMU lacks the machine type, the emulator or KVM",
    "cpu-incompatible": "the destination can't give the guest the CPU that it has",
    "cpu-invtsc": "the guest was promised a TSC of constant rate without saying which",
    "device-unsupported": "the destination's QEMU lacks a model of device",
}

# Where a domain names a model: the element, its attribute, and the enumeration in libvirt's domain capabilities.
_MODELS = (
    ("devices/video/model", "type", "video", "modelType"),
    ("devices/graphics", "type", "graphics", "type"),
    ("devices/tpm", "model", "tpm", "model"),
    ("devices/tpm/backend", "type", "tpm", "backendModel"),
    ("devices/rng", "model", "rng", "model"),
    ("devices/rng/backend", "model", "rng", "backendModel"),
    ("devices/disk/target", "bus", "disk", "bus"),
)


def obstacles(question: Question) -> list[Obstacle]:
    """All of them; of a machine that can't run there, nothing more is known."""
    there = question.there.hypervisor
    if there.machine_problem:
        kind = question.domain.find("os/type")
        machine = "" if kind is None else kind.get("machine", "")
        return [
            Obstacle(
                "machine-unsupported",
                f"machine {machine} ({question.domain.get('type')})",
                f"libvirt on {question.destination} says: {there.machine_problem}",
                f"install on {question.destination} what {question.source} has, or choose another host",
            )
        ]
    found = []
    if there.cpu_problem:
        found.append(
            Obstacle(
                "cpu-incompatible",
                "CPU",
                f"libvirt on {question.destination} says: {there.cpu_problem}",
                "choose a host with the same or a newer CPU, or give the VM a model that all hosts have (`virsh "
                "hypervisor-cpu-baseline` finds one) and start it anew",
            )
        )
    if _invariant_tsc(question.domain):
        found.append(
            Obstacle(
                "cpu-invtsc",
                "CPU",
                "has the feature invtsc, and no frequency of the TSC is set, so QEMU migrates it nowhere",
                "set <timer name='tsc' frequency='…'/> in <clock>, or take the feature away, and start the VM anew",
            )
        )
    return found + list(_unsupported(question))


def _invariant_tsc(domain: etree._Element) -> bool:
    """By libvirt's rule (qemuMigrationSrcIsAllowed)."""
    wanted = any(
        feature.get("name") == "invtsc" and feature.get("policy") in ("require", "force")
        for feature in domain.iterfind("cpu/feature")
    )
    return wanted and domain.find("clock/timer[@name='tsc'][@frequency]") is None


def _unsupported(question: Question) -> Iterator[Obstacle]:
    devices = _devices(question.there.hypervisor.capabilities)
    if devices is None:
        return
    for path, attribute, kind, enumeration in _MODELS:
        known = devices.find(kind)
        if known is None:
            continue  # This libvirt says nothing of such devices.
        values = {value.text for value in known.iterfind(f"enum[@name='{enumeration}']/value")}
        wanted = {element.get(attribute, "") for element in question.domain.iterfind(path)} - {""}
        for model in sorted(wanted):
            if known.get("supported") == "no" or (values and model not in values):
                yield Obstacle(
                    "device-unsupported",
                    f"{kind} {model}",
                    f"QEMU on {question.destination} does not have it",
                    f"install it there (distributions package QEMU's devices apart), or choose another host than "
                    f"{question.destination}",
                )


def _devices(capabilities: str) -> etree._Element | None:
    """The devices of virConnectGetDomainCapabilities; None if it can't be read: an agent is another machine."""
    if not capabilities or len(capabilities) > MAX_BYTES:
        return None
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    try:
        return etree.fromstring(capabilities.encode(), parser).find("devices")
    except etree.XMLSyntaxError:
        return None
