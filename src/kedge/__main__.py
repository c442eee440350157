"""`python -m kedge`, the same as the `kedge` command."""

from kedge.cli import main

main()
