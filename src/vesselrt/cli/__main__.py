"""`python -m vesselrt.cli`."""

from vesselrt.cli import main

main()
