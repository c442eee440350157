"""Whether a host can take VMs by post-copy."""

from pathlib import Path

import pytest
from lxml import etree

from kedge.agent.host import postcopy

USER, ROOT, NONE = (
    "<host><secmodel><model>apparmor</model></secmodel>"
    "<secmodel><model>dac</model><baselabel type='kvm'>+64055:+64055</baselabel></secmodel></host>",
    "<host><secmodel><model>dac</model><baselabel type='kvm'>+0:+0</baselabel></secmodel></host>",
    "<host/>",
)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(postcopy, "_FOR_ALL", tmp_path / "unprivileged")
    monkeypatch.setattr(postcopy, "_DEVICE", tmp_path / "device")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "qemu", "on_host", "problem"),
    [
        (USER, 7_002_022, ("0", True), "lets user 64055, as whom QEMU runs"),
        (USER, 7_002_022, ("1", False), ""),
        (USER, 8_000_000, ("0", True), ""),
        (USER, 8_000_000, ("0", False), "lets user 64055"),
        (ROOT, 7_002_022, ("0", False), ""),
        (NONE, 0, ("0", False), ""),
        (USER, 8_000_000, (None, True), "no userfaultfd"),
    ],
)
def test_who_may_handle_page_faults(
    files: Path, host: str, qemu: int, on_host: tuple[str | None, bool], problem: str
) -> None:
    allowed, device = on_host
    setting, character = files / "unprivileged", files / "device"
    if allowed is not None:
        setting.write_text(allowed + "\n")
    if device:
        character.touch()

    found = postcopy.postcopy_problem(etree.fromstring(host), qemu)

    assert (problem in found) if problem else (found == "")


@pytest.mark.usefixtures("files")
def test_of_an_old_kernel_without_the_setting_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postcopy, "_kernel", lambda: (4, 18))
    assert postcopy.postcopy_problem(etree.fromstring(USER), 0) == ""
