"""`python -m intctl`."""

from intctl.cli import main

if __name__ == "__main__":
    main()
