"""What a VM is asked, byte by byte."""

import pytest

from kedge.agent.frames.questions import questions

MAC = "52:54:00:12:34:56"


def test_an_ipv4_address_is_asked_for_by_a_probe_whose_answer_goes_to_the_vm_itself() -> None:
    assert questions(MAC, ["10.1.2.3"]) == [
        bytes.fromhex(
            "525400123456 fe5400123456 08060001 0800 06 04 0001525400123456 00000000 000000000000 0a010203"
        ).ljust(60, b"\0")
    ]


def test_an_ipv6_address_is_asked_for_by_a_neighbour_solicitation_to_itself() -> None:
    assert questions(MAC, ["2001:db8::5"]) == [
        bytes.fromhex(
            "525400123456 fe5400123456 86dd"
            "60000000 0020 3a ff"
            "fe800000000000006b65646765000000 20010db8000000000000000000000005"
            "87 00 621d 00000000"
            "20010db8000000000000000000000005"
            "01 01 525400123456"
        )
    ]


def test_the_one_who_asks_is_never_the_vm() -> None:
    (question,) = questions("fe:54:00:12:34:56", ["10.1.2.3"])
    assert question[6:12] == bytes.fromhex("fa5400123456")


@pytest.mark.parametrize("text", ["10.1.2", "", "10.1.2.3/24"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        questions(MAC, [text])
