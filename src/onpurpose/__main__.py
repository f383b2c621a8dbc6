"""`python -m onpurpose`: the command."""

from onpurpose.cli.main import main

main(prog_name="onpurpose")
