"""Names and passwords: right ones, wrong ones, and what is no password at all."""

from base64 import b64encode
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge.auth import Role
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords, decoy, hashed
from kedge.auth.remembered import Remembered
from kedge.auth.users import UsersFile, parse
from kedge.model.errors import BadRequest

from .conftest import HASHES, Guarded, basic, quick_hash, write_users

NETWORKS = "/network/v2.0/networks"


def encoded(raw: bytes) -> str:
    return f"Basic {b64encode(raw).decode()}"


def test_a_known_user_comes_in(guarded: Guarded) -> None:
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    assert guarded.inner.seen[0]["caller"] == "audit"


def test_nobody_comes_in_without_saying_who(guarded: Guarded) -> None:
    answer = guarded.client.get(NETWORKS)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Kedge", charset="UTF-8"'
    message = "The request you have made requires authentication."
    assert answer.json() == {"error": {"code": 401, "title": "Unauthorized", "message": message}}
    assert guarded.inner.seen == []


@pytest.mark.parametrize(("user", "password"), [("audit", "wrong"), ("audit", ""), ("nobody", "x"), ("", "")])
def test_wrong_ones_are_all_answered_alike(guarded: Guarded, user: str, password: str) -> None:
    answer = guarded.ask("GET", NETWORKS, user, password=password)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "Incorrect username or password."
    assert guarded.inner.seen == []


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Bearer abc",
        encoded(b"no colon"),
        encoded(b"\xff:x"),
        encoded(b"audit:" + b"x" * 5000),
        "Basic " + "A" * 60_000,
    ],
)
def test_what_is_no_password_is_refused(guarded: Guarded, header: str) -> None:
    answer = guarded.client.get(NETWORKS, headers={"Authorization": header})
    assert answer.status_code == 401
    assert "Authorization header" in answer.json()["error"]["message"]


@pytest.mark.parametrize("password", [b"a\0b", b"x" * 73, b"\xff\xfe"])
def test_passwords_that_bcrypt_would_not_take_are_wrong(guarded: Guarded, password: bytes) -> None:
    answer = guarded.client.get(NETWORKS, headers={"Authorization": encoded(b"audit:" + password)})
    assert answer.status_code == 401


def test_two_headers_are_refused(guarded: Guarded) -> None:
    headers = [("Authorization", basic("audit")["Authorization"])] * 2
    assert guarded.client.get(NETWORKS, headers=headers).status_code == 401


def test_the_scheme_may_be_written_anyhow(guarded: Guarded) -> None:
    header = basic("audit")["Authorization"].replace("Basic", "bASIC")
    assert guarded.client.get(NETWORKS, headers={"Authorization": header}).status_code == 200


def test_a_password_with_colons_and_umlauts(guarded: Guarded) -> None:
    guarded.file.write_text(f"jö:{quick_hash('a:b:ü')}:reader\n")
    assert guarded.ask("GET", NETWORKS, "jö", password="a:b:ü").status_code == 200


def test_a_right_password_is_remembered_for_a_minute(guarded: Guarded) -> None:
    for _ in range(3):
        assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    assert guarded.checks == 1
    guarded.now += 61
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    assert guarded.checks == 2


def test_a_wrong_password_never_profits_from_a_right_one(guarded: Guarded) -> None:
    guarded.ask("GET", NETWORKS, "audit")
    for _ in range(2):
        assert guarded.ask("GET", NETWORKS, "audit", password="nova's secret").status_code == 401
    assert guarded.checks == 3


def test_a_changed_password_counts_at_once(guarded: Guarded) -> None:
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    guarded.file.write_text(f"audit:{quick_hash('new')}:reader\n")
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 401
    assert guarded.ask("GET", NETWORKS, "audit", password="new").status_code == 200


def test_a_user_who_was_removed_is_out_at_once(guarded: Guarded) -> None:
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    write_users(guarded.file, {"root": "admin"})
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 401
    assert guarded.ask("GET", NETWORKS, "root").status_code == 200


def test_roles_that_were_taken_away_are_gone_at_once(guarded: Guarded) -> None:
    assert guarded.ask("DELETE", f"{NETWORKS}/n", "root").status_code == 200
    write_users(guarded.file, {"root": "reader"})
    assert guarded.ask("DELETE", f"{NETWORKS}/n", "root").status_code == 403


@pytest.mark.parametrize("breakage", ["rubbish", "", "missing", "mode"])
def test_a_file_that_breaks_later_locks_nobody_out(guarded: Guarded, breakage: str) -> None:
    with capture_logs() as logs:
        if breakage == "missing":
            guarded.file.unlink()
        elif breakage == "mode":
            guarded.file.chmod(0o644)
        else:
            guarded.file.write_text(breakage)
        for _ in range(3):
            assert guarded.ask("GET", NETWORKS, "audit").status_code == 200
    assert [each["event"] for each in logs] == ["users file unusable, former users stay"], "said once"
    assert str(guarded.file) in logs[0]["reason"]
    write_users(guarded.file, {"root": "admin"})
    assert guarded.ask("GET", NETWORKS, "audit").status_code == 401


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("audit", "line 1: it is not of the form"),
        ("\n# a comment\naudit:secret:reader", r"line 3: the password of 'audit' is not a bcrypt hash"),
        ("audit:HASH:king", r"'king' is no role; there are reader, member, service, admin"),
        ("audit:HASH:reader,", "'' is no role"),
        (":HASH:reader", "not of the form"),
        ("audit:HASH:reader:demo:more", "not of the form"),
        ("a:HASH\na:HASH", "line 2: user 'a' is there twice"),
        ("audit:COSTLY", "cost of 'audit' is 31"),
        ("audit:SHORT", "not a bcrypt hash"),
        ("audit:$apr1$y2YzzX/w$IcWmzIFmoyZa4AyvgKLJd/", "not a bcrypt hash"),
        ("", "has no users"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    # Hashes are salted, and the name of a test has to be the same in every process that runs some of them.
    good = HASHES["audit"]
    for name, value in {"HASH": good, "COSTLY": good.replace("$04$", "$31$"), "SHORT": good[:-1]}.items():
        text = text.replace(name, value)
    file = tmp_path / "users"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(BadRequest, match=complaint) as caught:
        UsersFile(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="can't be read: No such file"):
        UsersFile(tmp_path / "none")
    with pytest.raises(BadRequest, match="can't be read: Is a directory"):
        UsersFile(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xff")
    with pytest.raises(BadRequest, match="not UTF-8"):
        UsersFile(tmp_path / "binary")


@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o640, True), (0o644, False), (0o660, False)])
def test_others_may_not_read_the_file_nor_the_group_write_it(tmp_path: Path, mode: int, fine: bool) -> None:
    file = write_users(tmp_path / "users")
    file.chmod(mode)
    if fine:
        assert "audit" in UsersFile(file).users()
        return
    with pytest.raises(BadRequest, match=f"open to others .*{mode:04o}.*chmod 600"):
        UsersFile(file)


def test_a_line_as_htpasswd_writes_it_is_a_reader() -> None:
    user = parse(f"old:{HASHES['audit']}\n", "f")["old"].identity
    assert (user.roles, user.project, user.confined) == (frozenset({Role.READER}), None, False)


def test_several_roles_and_a_project() -> None:
    user = parse(f"x:{HASHES['audit']}:member,service:demo\n", "f")["x"].identity
    assert (user.roles, user.project, user.confined) == (
        frozenset({Role.MEMBER, Role.SERVICE}),
        "demo",
        False,
    )
    assert parse(f"x:{HASHES['audit']}:member:demo\n", "f")["x"].identity.confined


def test_hashes_are_made_as_apache_makes_them() -> None:
    made = hashed("secret")
    assert made.startswith("$2y$12$")
    assert Passwords().is_right(made, b"secret")
    for bad in ("", "x" * 73, "a\0"):
        with pytest.raises(ValueError, match="72 bytes"):
            hashed(bad)


def test_no_password_fits_the_decoy() -> None:
    assert not Passwords().is_right(decoy(HASHES["audit"]), b"")


def test_an_unknown_name_takes_as_long_as_a_wrong_password(guarded: Guarded) -> None:
    guarded.file.write_text(f"audit:{hashed_at(5, 'right')}:reader\n")
    for user in ("audit", "nobody"):
        assert guarded.ask("GET", NETWORKS, user, password="wrong").status_code == 401
    assert guarded.checks == 2, "bcrypt is asked for both"
    assert {stored[:7] for stored in guarded.asked} == {"$2b$05$"}, "at the same cost"


def hashed_at(cost: int, password: str) -> str:
    import bcrypt

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def test_what_is_remembered_is_bounded_and_holds_no_secret() -> None:
    now = 0.0
    remembered = Remembered[int](clock=lambda: now)
    for number in range(1500):
        remembered.put(str(number).encode(), number, 60)
    assert len(remembered) == 1024
    assert remembered.get(b"0") is None
    assert remembered.get(b"1499") == 1499
    assert "1499" not in str(list(remembered._entries))
    now = 61.0
    assert remembered.get(b"1499") is None
    remembered.put(b"x", 1, 60)
    assert len(remembered) == 1, "what is over makes room first"


def test_two_processes_remember_under_different_keys() -> None:
    first, second = Remembered[int](), Remembered[int]()
    assert first._digest(b"x") != second._digest(b"x")


def test_the_strategy_opens_what_it_is_given(tmp_path: Path) -> None:
    assert HttpBasic(UsersFile(write_users(tmp_path / "users"))).challenge.startswith("Basic")
