"""The version, and the commit of the source where that can be known."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def commit() -> str | None:
    """The abbreviated commit, with ``-dirty`` behind it where tracked files have changed since; None if unknown."""
    import subprocess  # here alone, as every start of the program would pay for it

    git = ["git", "-C", str(Path(__file__).parent)]
    # Git must know this very file: an environment may be inside another repository.
    for words in (
        ["ls-files", "--error-unmatch", Path(__file__).name],
        ["describe", "--always", "--dirty", "--exclude=*"],
    ):
        try:
            done = subprocess.run([*git, *words], capture_output=True, text=True)
        except OSError:  # no git on this machine
            return None
        if done.returncode:
            return None
    return done.stdout.strip()
