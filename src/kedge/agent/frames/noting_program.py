"""The program that notes in the kernel when a VM's frames came out of it."""

import struct

NOTED = struct.Struct("=QQQ")
"""What is noted of one kind of frames: first time, last time (monotonic clock, ns), and their number."""
OWN_AT, ANSWERS_AT = 0, NOTED.size
"""Where in the map's value those of the VM's own frames are, and those of its answers, which it sends to itself."""
_FIRST, _LAST, _NUMBER = 0, 8, 16

_OUTGOING = 4
_RARP = 0x8035

# Opcodes of eBPF. `_FRAME_…` load from the frame in r6, in the network's order of bytes, into r0.
_COPY, _SET, _ADD, _ADD_REGISTER = 0xBF, 0xB7, 0x07, 0x0F
_LOAD_WORD, _LOAD_LONG, _LOAD_MAP = 0x61, 0x79, 0x18
_STORE_WORD, _STORE_LONG, _ADD_ATOMIC = 0x62, 0x7B, 0xDB
_FRAME_WORD, _FRAME_HALF = 0x20, 0x28
_IF_EQUAL, _IF_NOT_EQUAL = 0x15, 0x55
_UNLESS = 0x56  # of 32 bits: the other one would take a negative number for one of 64 bits
_CALL, _EXIT = 0x85, 0x95
_MAP_LOOKUP, _NOW = 1, 5


def noting_program(mac: bytes, noted: int, *, outgoing: bool) -> list[tuple[int, int, int, int]]:
    """Notes the frames of this MAC in a map, and hands none on.

    For an `ebpf.SOCKET_FILTER`, on a device on which the VM's frames go out (macvtap) or come in (tap). `noted` is the
    map's file descriptor.
    """
    high, low = struct.unpack("!Hi", mac)
    code: list[tuple[int, int, int, int]] = []
    to_end: list[int] = []

    def leave_if(opcode: int, value: int) -> None:
        to_end.append(len(code))
        code.append((opcode, 0, 0, value))

    code += [(_COPY, 0x16, 0, 0), (_LOAD_WORD, 0x60, 4, 0)]  # r6 is the frame; its `pkt_type`
    leave_if(_IF_NOT_EQUAL if outgoing else _IF_EQUAL, _OUTGOING)
    code.append((_FRAME_WORD, 0, 0, 8))
    leave_if(_UNLESS, low)
    code.append((_FRAME_HALF, 0, 0, 6))
    leave_if(_UNLESS, high)
    code.append((_FRAME_HALF, 0, 0, 12))
    leave_if(_IF_EQUAL, _RARP)
    code += [
        (_SET, 0x07, 0, OWN_AT),
        (_FRAME_WORD, 0, 0, 2),
        (_UNLESS, 0, 3, low),
        (_FRAME_HALF, 0, 0, 0),
        (_UNLESS, 0, 1, high),
        (_SET, 0x07, 0, ANSWERS_AT),
        (_STORE_WORD, 0x0A, -4, 0),  # the map's only key
        (_LOAD_MAP, 0x11, 0, noted),
        (0, 0, 0, 0),
        (_COPY, 0xA2, 0, 0),
        (_ADD, 0x02, 0, -4),
        (_CALL, 0, 0, _MAP_LOOKUP),
    ]
    leave_if(_IF_EQUAL, 0)
    code += [
        (_COPY, 0x08, 0, 0),
        (_ADD_REGISTER, 0x78, 0, 0),  # r8 is where the times are
        (_CALL, 0, 0, _NOW),
        (_LOAD_LONG, 0x81, _FIRST, 0),
        (_IF_NOT_EQUAL, 0x01, 1, 0),
        (_STORE_LONG, 0x08, _FIRST, 0),
        (_STORE_LONG, 0x08, _LAST, 0),
        (_SET, 0x01, 0, 1),
        (_ADD_ATOMIC, 0x18, _NUMBER, 0),
    ]
    end = len(code)
    for at in to_end:
        opcode, registers, _, value = code[at]
        code[at] = (opcode, registers, end - at - 1, value)
    return [*code, (_SET, 0, 0, 0), (_EXIT, 0, 0, 0)]
