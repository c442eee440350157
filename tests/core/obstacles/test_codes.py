"""The codes are one list, without doubles."""

from kedge.core import obstacles
from kedge.core.obstacles import filesystems, firmware, images, names, planned, storage, tpm


def test_no_code_has_two_meanings() -> None:
    kinds = (planned, names, storage, images, firmware, tpm, filesystems)
    assert sum(len(kind.CODES) for kind in kinds) == len(obstacles.CODES)
