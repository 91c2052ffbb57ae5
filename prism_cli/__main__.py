"""`python -m prism_cli`."""

from prism_cli.app import main

main()
