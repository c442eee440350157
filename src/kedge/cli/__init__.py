"""The `kedge` command.

Each module here has the commands of one group, and is imported when one of them is asked for. What they say goes to
standard output; errors go to standard error as one sentence, with an exit code of `kedge.cli.exits`. What is heavy
(the servers, the lab, libvirt, drawing on a terminal) is imported by the one command that needs it. `kedge migrate`
in its plain form does without Typer, too, which takes longer to import than everything else together.
"""


def main() -> None:
    """Run the command line."""
    from .plain import run  # noqa: PLC0415

    if not run():
        from .commands import app  # noqa: PLC0415

        app()


__all__ = ["main"]
