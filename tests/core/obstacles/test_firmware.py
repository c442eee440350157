"""What QEMU reads when it starts, TPMs, shared directories and memory, and names."""

from dataclasses import replace

import pytest

from kedge.model.domain import DomainState, DomainSummary

from .asking import HERE, LOCAL, NOTHING, THERE, UUID, codes, found, with_files

LOADED = (
    "<os><kernel>/k</kernel><initrd>/i</initrd><dtb>/t</dtb><loader type='rom'>/l</loader>"
    "<acpi><table type='slic'>/a</table></acpi></os>"
)
NIC_WITH_ROM = "<interface type='user'><rom file='/r'/></interface>"


@pytest.mark.parametrize("path", ["/k", "/i", "/t", "/l", "/a", "/r"])
def test_what_qemu_loads_must_be_there(path: str) -> None:
    files = dict.fromkeys(("/k", "/i", "/t", "/l", "/a", "/r"), LOCAL) | {path: NOTHING}
    (obstacle,) = found(NIC_WITH_ROM, LOADED, there=with_files(THERE, files))
    assert obstacle.code == "boot-file-missing"
    assert path in obstacle.problem and "copy it" in obstacle.remedy


@pytest.mark.parametrize(
    ("path", "expected"), [("/k", []), ("/l", ["boot-file-differs"]), ("/r", ["boot-file-differs"])]
)
def test_firmware_keeps_its_size(path: str, expected: list[str]) -> None:
    files = {path: LOCAL}
    other = {path: replace(LOCAL, size=LOCAL.size // 2)}
    assert codes(NIC_WITH_ROM, LOADED, with_files(HERE, files), with_files(THERE, other)) == expected


@pytest.mark.parametrize(
    ("variables", "template", "expected"),
    [
        (NOTHING, NOTHING, ["nvram-missing"]),
        (NOTHING, LOCAL, []),
        (LOCAL, NOTHING, []),
    ],
)
def test_the_variables_of_uefi_come_from_a_template(
    variables: object, template: object, expected: list[str]
) -> None:
    nvram = "<os><nvram template='/template'>/vars</nvram></os>"
    files = {"/vars": variables, "/template": template}
    assert codes("", nvram, there=with_files(THERE, files)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", 1),
        ("<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>", 0),
    ],
)
def test_a_tpm_of_the_host_stays_there(device: str, expected: int) -> None:
    assert codes(device) == ["tpm-of-the-host"] * expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            "<filesystem><driver type='virtiofs'/><target dir='t'/></filesystem>",
            ["filesystem-shared"],
        ),
        ("<filesystem type='mount'><target dir='t'/></filesystem>", ["filesystem-shared"]),
        ("<shmem name='m' role='peer'><model type='ivshmem-plain'/></shmem>", ["shared-memory"]),
        ("<shmem name='m'><model type='ivshmem-plain'/></shmem>", ["shared-memory"]),
        ("<shmem name='m' role='master'><model type='ivshmem'/></shmem>", ["shared-memory"]),
        ("<shmem name='m' role='master'><model type='ivshmem-plain'/></shmem>", []),
    ],
)
def test_what_is_shared_with_the_host(device: str, expected: list[str]) -> None:
    assert codes(device) == expected


OTHER = "0b5c7d52-5b0e-4c61-9df1-5a1f3a0c0002"


@pytest.mark.parametrize(("uuid", "expected"), [(OTHER, ["name-taken"]), (UUID.upper(), [])])
def test_a_name_is_taken_by_another_domain_only(uuid: str, expected: list[str]) -> None:
    holder = DomainSummary(uuid, "vm", DomainState.SHUTOFF, True)
    assert codes(there=replace(THERE, namesake=holder)) == expected
