"""The one error that a user's mistake raises: what was wrong, where, and what to do about it.

The command line prints it as a single line and leaves with exit code 2. Anything else that escapes is a bug
and keeps its traceback.
"""

from __future__ import annotations


class InputError(ValueError):
    """Something that the user gave cannot be used as it is.

    Args:
        where: the file, folder, key or argument at fault.
        found: what was found there.
        expected: what would have been right; left out of the message when empty.
        hint: what the user can do about it; left out of the message when empty.
    """

    def __init__(self, where: object, found: str, expected: str = "", hint: str = "") -> None:
        self.where, self.found, self.expected, self.hint = str(where), found, expected, hint
        message = f"{where}: {found}"
        if expected:
            message += f"; expected {expected}"
        if hint:
            message += f"; {hint}"
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        """Keep the four parts when the error crosses a process boundary (metrics and preparation run in pools)."""
        return type(self), (self.where, self.found, self.expected, self.hint)
