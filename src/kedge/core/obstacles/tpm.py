"""A TPM: one of the host's own can't leave it. libvirt carries an emulated one's state along since 7.1."""

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {"tpm-of-the-host": "the VM uses the host's own TPM"}


def obstacles(question: Question) -> list[Obstacle]:
    """The TPM that is the host's."""
    return [
        Obstacle(
            "tpm-of-the-host",
            "TPM",
            f"is {question.source}'s own, handed to the VM (<backend type='passthrough'>)",
            "give the VM an emulated one (<backend type='emulator'>), which needs a restart",
        )
        for backend in question.domain.iterfind("devices/tpm/backend")
        if backend.get("type") == "passthrough"
    ]
