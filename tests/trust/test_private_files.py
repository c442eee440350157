"""What Kedge's processes write, nobody else on the machine reads; and nobody's /tmp is closed."""

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge.agent.on_disk.json_file import write_atomically
from kedge.compute.records.claims import claims_in
from kedge.store import open_database, transaction, upgrade
from kedge.trust.private_files import private_directory

NAMES = ("kedge.db*", "pki")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    private_directory(tmp_path / "a" / "b", NAMES)
    assert mode(tmp_path / "a" / "b") == 0o700


def test_one_that_is_plainly_kedges_is_closed_and_that_is_said(tmp_path: Path) -> None:
    for name in ("kedge.db", "kedge.db-wal", "pki"):
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    with capture_logs() as logs:
        private_directory(tmp_path, NAMES)
        private_directory(tmp_path, NAMES)
    assert mode(tmp_path) == 0o700
    assert [each["event"] for each in logs] == ["others could look into this directory, and can't any more"]


@pytest.mark.parametrize(("name", "bits"), [("letters", 0o755), ("kedge.db", 0o1777)])
def test_one_that_others_use_too_stays_open_and_that_is_said(tmp_path: Path, name: str, bits: int) -> None:
    (tmp_path / name).touch()
    tmp_path.chmod(bits)
    with capture_logs() as logs:
        private_directory(tmp_path, NAMES)
    assert mode(tmp_path) == bits
    assert "choose one of its own" in logs[0]["event"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "of an earlier version"])
def test_a_database_and_all_beside_it_are_its_owners_alone(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "kedge.db"
    if there:
        for suffix in ("", ".turn", ".conductor"):
            Path(f"{path}{suffix}").touch()
            Path(f"{path}{suffix}").chmod(0o644)
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    claims = claims_in(engine)
    claims.claim(["x"])
    with transaction(engine):
        modes = {each.name: mode(each) for each in tmp_path.iterdir()}
    claims.close()
    engine.dispose()
    assert {"kedge.db", "kedge.db-wal", "kedge.db-shm", "kedge.db.turn", "kedge.db.conductor"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_what_an_agent_writes_down_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "epochs.json").touch(0o644)
    write_atomically(tmp_path / "epochs.json", "{}")
    assert mode(tmp_path / "epochs.json") == 0o600
