"""The command `onpurpose`: one module per verb."""
