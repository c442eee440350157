"""Labels, and the groups that they make."""

import pytest

from kedge.core.placement import Fleet, place
from kedge.core.placement.groups import refuse_contradiction
from kedge.core.placement.labels import LONGEST, MOST, changed, checked, matches
from kedge.model.errors import BadRequest

from .fleets import fleet, host, promise, server


def of_three(key: str, *things: object) -> Fleet:
    return fleet(
        host("a"),
        host("b"),
        host("c"),
        server("one", "a", labels={key: "web"}),
        server("two", "b", labels={key: "web"}),
        *things,  # type: ignore[arg-type]
    )


def test_anti_affinity_is_a_rule() -> None:
    there = of_three("anti-affinity")
    placement = place(there.servers["one"], there)
    assert placement.best == "c"
    (left,) = placement.left_out
    assert (left.host, left.obstacles[0].code) == ("b", "anti-affinity")
    assert left.obstacles[0].problem == "b has two of its group anti-affinity=web"


def test_a_member_on_its_way_counts() -> None:
    there = of_three("anti-affinity", promise("three", "c", anti_affinity="web"))
    placement = place(there.servers["one"], there)
    assert placement.best is None
    assert "on its way there" in placement.left_out[1].obstacles[0].problem


def test_other_groups_and_other_keys_do_not_count() -> None:
    there = of_three("anti-affinity", server("x", "c", labels={"anti-affinity": "db", "role": "web"}))
    assert place(there.servers["one"], there).best == "c"


def test_affinity_and_soft_anti_affinity_are_wishes() -> None:
    there = of_three("affinity")
    assert [each.host for each in place(there.servers["one"], there).ranked] == ["b", "c"]
    there = of_three("soft-anti-affinity", server("x", "c"), server("y", "c"))
    assert [each.host for each in place(there.servers["one"], there).ranked] == ["c", "b"]


def test_the_last_host_takes_what_only_wishes_speak_against() -> None:
    there = fleet(
        host("a"), host("b"), *(server(n, o, labels={"soft-anti-affinity": "w"}) for n, o in ("xa", "yb"))
    )
    assert place(there.servers["x"], there).best == "b"


@pytest.mark.parametrize(
    ("labels", "others", "who"),
    [
        ({"affinity": "w", "anti-affinity": "d"}, {"affinity": "w", "anti-affinity": "d"}, "two"),
        ({"affinity": "w", "soft-anti-affinity": "d"}, {"affinity": "w", "soft-anti-affinity": "d"}, "two"),
        ({"affinity": "w", "anti-affinity": "d"}, {"affinity": "w", "anti-affinity": "e"}, None),
        ({"affinity": "w", "anti-affinity": "d"}, {"affinity": "v", "anti-affinity": "d"}, None),
        ({"affinity": "w"}, {"affinity": "w", "anti-affinity": "d"}, None),
        ({"anti-affinity": "d"}, {"affinity": "w", "anti-affinity": "d"}, None),
    ],
)
def test_beside_and_apart_at_once(labels: dict[str, str], others: dict[str, str], who: str | None) -> None:
    if who is None:
        refuse_contradiction("one", labels, [("two", others)])
        return
    with pytest.raises(BadRequest, match=r"beside two \(affinity=w\) and apart from it"):
        refuse_contradiction("one", labels, [("two", others)])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"": "v"}, "key is empty"),
        ({"k": ""}, "value of 'k' is empty"),
        ({"k" * (LONGEST + 1): "v"}, "64 characters; at most 63"),
        ({"k": "v" * 100}, "100 characters; at most 63"),
        ({"a b": "v"}, "not allowed"),
        ({"k": "-v"}, "not allowed"),
        ({"k": "v\n"}, "not allowed"),
        ({f"k{number}": "v" for number in range(MOST + 1)}, "33 labels are too many"),
    ],
)
def test_labels_that_are_refused(labels: dict[str, str], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        checked(labels)


def test_labels_are_set_and_taken_off() -> None:
    assert changed({"a": "1", "b": "2"}, {"b": "3", "a": None, "c": "x/y"}) == {"b": "3", "c": "x/y"}
    with pytest.raises(BadRequest, match="key is empty"):
        changed({}, {"": None})
    assert matches({"a": "1", "b": "2"}, {"a": "1"}) and not matches({"a": "1"}, {"a": "2"})
