"""``python -m sordino``: the command line."""

import sys
from contextlib import suppress
from pathlib import Path

from sordino.cli.main import main

if __name__ == "__main__":
    # Python puts the working folder first on its path for -m. A file there that is called like a module would be run.
    with suppress(FileNotFoundError):  # where the folder was removed meanwhile, nothing in it can be run
        if sys.path and Path(sys.path[0] or ".").resolve() == Path().resolve():
            del sys.path[0]
    main()
