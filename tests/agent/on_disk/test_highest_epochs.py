"""Orders of a replaced conductor are refused, also by a restarted agent."""

from pathlib import Path

import pytest

from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.on_disk.json_file import write_atomically
from kedge.model.errors import StaleEpoch


def test_an_older_epoch_is_refused(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path / "state" / "epochs.json")
    epochs.admit("server a", 3)
    epochs.admit("server a", 3)
    epochs.admit("server b", 1)
    with pytest.raises(StaleEpoch, match="epoch 2, and one with epoch 3"):
        epochs.admit("server a", 2)
    epochs.admit("server a", 4)


def test_an_order_without_an_epoch_always_passes(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path / "epochs.json")
    epochs.admit("server a", 3)
    epochs.admit("server a", 0)
    with pytest.raises(StaleEpoch):
        epochs.admit("server a", 2)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    Epochs(tmp_path / "epochs.json").admit("server a", 3)
    with pytest.raises(StaleEpoch):
        Epochs(tmp_path / "epochs.json").admit("server a", 2)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", "one")
    write_atomically(tmp_path / "x", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "two")]


def test_several_subjects_pass_together_or_not_at_all(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path / "epochs.json")
    epochs.admit("port b", 3)
    with pytest.raises(StaleEpoch, match="port b"):
        epochs.admit_all(["port a", "port b"], 2)
    epochs.admit("port a", 1)
    epochs.admit_all(["port a", "port b"], 3)
    for subject in ("port a", "port b"):
        with pytest.raises(StaleEpoch):
            Epochs(tmp_path / "epochs.json").admit(subject, 2)
