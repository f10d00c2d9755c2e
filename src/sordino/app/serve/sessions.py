"""The files of the page's visitors, which are deleted when their visitor leaves.

A visitor is an open tab. Its uploads, unless another tab has the same one, and its results are deleted when it closes;
results also when it asks for new ones. What a broken tab has left is deleted after a while, and everything when the
server stops.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

KEEP_S = 3600.0
STRAY_S = 60.0
EMPTY_S = 1.0


@dataclass
class _Visitor:
    seen: float = 0.0
    uploads: set[Path] = field(default_factory=set)
    results: dict[str, Path] = field(default_factory=dict)


class Sessions:
    """Open sessions of the page, each with the files of its visitor.

    Args:
        root: folder for all files.
        keep_s: seconds after which a visitor who did nothing is taken to have left.
        stray_s: seconds after which an upload that no visitor has claimed is deleted.
    """

    def __init__(self, root: Path, keep_s: float = KEEP_S, stray_s: float = STRAY_S) -> None:
        self.uploads, self.work = root / "uploads", root / "work"
        for folder in (self.uploads, self.work):
            folder.mkdir()
        self._keep_s, self._stray_s = keep_s, stray_s
        self._seen: dict[Path, tuple[int, float]] = {}  # size of what nobody claims, and since when it has it
        self._here: dict[str, _Visitor] = {}
        self._lock = threading.Lock()

    def __contains__(self, session: str) -> bool:
        return session in self._here

    def came(self, session: str, upload: Path) -> None:
        """Claim a file that a visitor has uploaded; a folder, which only a forged request names, is no upload."""
        if upload.is_dir():
            return
        with self._lock:
            visitor = self._here.setdefault(session, _Visitor())
            visitor.seen = time.monotonic()
            visitor.uploads.add(upload)

    def has(self, session: str, upload: Path) -> bool:
        """Whether the visitor is here and the file still is; a visitor who asks has done something."""
        with self._lock:
            visitor = self._here.get(session)
            if visitor is not None:
                visitor.seen = time.monotonic()
            return visitor is not None and upload in visitor.uploads and upload.is_file()

    def results(self, session: str, use: str) -> Path:
        """A new empty folder for a visitor's results, in place of the one before for the same use."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        with self._lock:
            visitor = self._here.get(session)
            old = None
            if visitor is not None:
                old = visitor.results.get(use)
                visitor.results[use] = folder
        if visitor is None:
            self.clear(folder)
        if old is not None:
            self.clear(old)
        return folder

    def leave(self, session: str) -> None:
        """Delete what a visitor had, except uploads of the same content that someone else has too."""
        with self._lock:
            visitor = self._here.pop(session, None)
            if visitor is None:
                return
            for upload in visitor.uploads - self._claimed():
                with suppress(OSError):  # what is gone, or is no file any more, keeps nothing else here
                    upload.unlink()
            self._remove_empty()
        for folder in visitor.results.values():
            self.clear(folder)

    def close(self) -> None:
        """End all sessions and delete their files."""
        for session in list(self._here):
            self.leave(session)

    def sweep(self) -> None:
        """Delete what visitors who did nothing for long had, and uploads that broke off."""
        now = time.monotonic()
        with self._lock:
            idle = [session for session, visitor in self._here.items() if now - visitor.seen > self._keep_s]
        for session in idle:
            self.leave(session)
        with self._lock:
            claimed = self._claimed()
            for path in self.uploads.rglob("*"):
                with suppress(FileNotFoundError):  # an upload that is whole is moved
                    if path.is_file() and path not in claimed and self._age_s(path) > self._stray_s:
                        path.unlink()
            self._remove_empty()
            self._seen = {path: seen for path, seen in self._seen.items() if path.exists() and path not in claimed}

    def clear(self, folder: Path) -> None:
        """Delete a folder of results, whatever is left of it."""
        shutil.rmtree(folder, ignore_errors=True)

    def _claimed(self) -> set[Path]:
        """Return the uploads of all visitors who are here.

        For one thread at a time.
        """
        claimed = set()
        for visitor in self._here.values():
            claimed |= visitor.uploads
        return claimed

    def _remove_empty(self) -> None:
        """Each upload lies in a folder of its own, into which the same content may be coming again right now.

        For one thread at a time.
        """
        for folder in self.uploads.iterdir():
            if folder.is_dir() and not any(folder.iterdir()) and self._age_s(folder) > EMPTY_S:
                folder.rmdir()

    def _age_s(self, path: Path) -> float:
        """Return the seconds since ``path`` was first seen with its size; time stamps of files are not reliable."""
        now, size = time.monotonic(), path.stat().st_size
        known_size, since = self._seen.get(path, (None, now))
        if size != known_size:
            since = now
            self._seen[path] = size, since
        return now - since
