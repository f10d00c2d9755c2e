"""``python -m sotto``: the command line."""

from sotto.cli import main

if __name__ == "__main__":
    main()
