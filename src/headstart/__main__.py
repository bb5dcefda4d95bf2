"""`python -m headstart` is the command line."""

from headstart.cli import app

app(prog_name="headstart")
