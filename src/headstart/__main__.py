"""`python -m headstart` is the command line."""

from headstart.cli import main

main()
