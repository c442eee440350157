"""What QEMU on the destination reads when it starts: kernel, initrd, firmware, tables, and the UEFI variables."""

from kedge.model.obstacle import Obstacle

from .paths import loaded_files, nvram, nvram_template
from .question import Question

CODES = {
    "boot-file-missing": "a kernel, initrd, device tree, firmware, ACPI table or ROM is not on the destination",
    "boot-file-differs": "the firmware or a ROM has another size on the destination",
    "nvram-missing": "neither the file of UEFI variables nor its template is on the destination",
}


def obstacles(question: Question) -> list[Obstacle]:
    """One for each file that is missing, or does not fit."""
    found = [
        Obstacle(
            "boot-file-missing",
            what,
            f"is {path}, which is not there on {question.destination}",
            f"copy it to the same place on {question.destination}",
        )
        for what, path in loaded_files(question.domain)
        if question.missing_there(path)
    ]
    # QEMU takes the contents along, but not into memory of another size. A kernel or a table is read at the start only.
    found += [
        Obstacle(
            "boot-file-differs",
            what,
            f"is {path}, which has {sizes[0]} bytes on {question.source} and {sizes[1]} on {question.destination}",
            f"install the same version of it on {question.destination}",
        )
        for what, path in loaded_files(question.domain)
        if what in ("loader", "ROM") and (sizes := question.sizes(path))
    ]
    variables, template = nvram(question.domain), nvram_template(question.domain)
    # libvirt copies the template for an incoming VM too (qemuPrepareNVRAM); the contents come with the guest's flash.
    if variables and question.missing_there(variables) and template and question.missing_there(template):
        found.append(
            Obstacle(
                "nvram-missing",
                f"NVRAM {variables}",
                f"is not there on {question.destination}, and neither is its template {template}",
                f"install the same firmware on {question.destination}",
            )
        )
    return found
