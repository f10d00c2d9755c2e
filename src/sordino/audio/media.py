"""Sound of phones and videos, which libsndfile does not read: decoded once, with PyAV, into a temporary file.

PyAV (``pip install 'sordino[media]'``) carries FFmpeg's decoders in its wheels. The first audio stream of a file is
taken, at its own rate and with its own channels. Where it begins later than the picture, and where nothing was recorded
for a while, silence takes the place, so that the sound fits when it goes back into the video. Torch-free.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from sordino.audio.pcm import check_shape, cut_short, limited
from sordino.audio.temporary import temporary_sound
from sordino.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = frozenset(
    {".m4a", ".mp4", ".m4v", ".aac", ".webm", ".amr", ".ac3", ".wma", ".mka", ".mkv", ".3gp", ".mov", ".avi"}
)
"""Suffixes of files that are read in this way."""
TAGS = {name: name for name in ("title", "copyright", "artist", "comment", "date", "album", "genre")} | {
    "tracknumber": "track"
}
"""libsndfile's name of a tag -> FFmpeg's."""
SHORT_S = 0.25
"""Seconds by which the sound of a film may be shorter than its header says."""
LATEST_S = 60.0
"""Seconds by which the sound of a film may begin after its picture."""
GAP_S = 0.1
"""Seconds by which sound may be late without being moved: clocks jitter, and drift."""
JUMP_S = 0.015
"""Seconds without sound between two frames that are a gap, and no rounding of their times."""
LONGEST_GAP_S = 3600.0
"""Seconds of silence that are believed at once: beyond them a time is damaged."""


def decoded(path: Path, most: float = math.inf) -> BinaryIO:
    """Decode the sound of a file of up to ``most`` samples; see ``sordino.audio.temporary.temporary_sound``.

    Raises:
        InputError: PyAV is not installed, or the file holds no sound that it can decode, or less than its header says.
    """
    av = _pyav(path)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(path, "holds no audio stream", "a recording")
            stream = container.streams.audio[0]
            check_shape(path, stream.rate, stream.channels)
            resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
            late = _silence(_late(container, stream), stream)
            blocks = limited(chain(late, _blocks(container, stream, resampler)), most, path)
            sound = temporary_sound(stream.rate, stream.channels, blocks)
            with ExitStack() as on_error:
                on_error.callback(sound.close)
                _check_length(path, container, sound)
                on_error.pop_all()  # it stays open
            return sound
    except av.error.FFmpegError as error:
        raise InputError(path, f"cannot be decoded ({error.strerror})", hint="copy or download it again") from error


def tags_of(path: Path) -> dict[str, str]:
    """Return the tags of a file that was decoded, by libsndfile's names, of which FFmpeg's are nearly the same."""
    with _pyav(path).open(str(path)) as container:
        given = {name.lower(): text for name, text in container.metadata.items()}
    return {name: given[key] for name, key in TAGS.items() if key in given}


def _blocks(container: Any, stream: Any, resampler: Any) -> Iterator[np.ndarray]:
    """Yield the sound, float32 [n,C], with silence where frames are missing."""
    start = end = 0.0  # seconds: of the first frame, and of the end of the last
    count = 0
    for frame in chain(container.decode(stream), [None]):  # None: what the resampler still holds
        if frame is not None and frame.time is not None:
            if not count:
                start = end = frame.time
            behind_s = frame.time - start - count / stream.rate
            if frame.time - end > JUMP_S and GAP_S < behind_s <= LONGEST_GAP_S:
                missing = round(behind_s * stream.rate)
                yield from _silence(missing, stream)
                count += missing
            end = frame.time + frame.samples / frame.sample_rate
        for part in resampler.resample(frame):
            count += part.samples
            yield part.to_ndarray().reshape(-1, stream.channels)


def _silence(samples: int, stream: Any) -> Iterator[np.ndarray]:
    """Yield zeros, [n,C], a second at a time."""
    for begin in range(0, samples, stream.rate):
        yield np.zeros((min(stream.rate, samples - begin), stream.channels), np.float32)


def _late(container: Any, stream: Any) -> int:
    """Return by how many samples the sound begins after the file itself, up to a minute; 0 where that is unknown."""
    if stream.start_time is None or container.start_time is None:
        return 0
    seconds = float(stream.start_time * stream.time_base) - container.start_time / 1e6
    return round(seconds * stream.rate) if 0 < seconds <= LATEST_S else 0


def _check_length(path: Path, container: Any, sound: BinaryIO) -> None:
    """Refuse Matroska and WebM that were cut short, which FFmpeg plays without an error. Others it refuses itself."""
    stream = container.streams.audio[0]
    stated = _seconds(stream.metadata.get("DURATION", ""))
    if stated is None and len(container.streams) == 1 and container.duration:
        stated = container.duration / 1e6  # of the whole file; a film may go on without sound
    seconds = sound.seek(0, io.SEEK_END) / (4 * stream.channels * stream.rate)  # floats, and a header of 0.1 KB
    sound.seek(0)
    if container.format.name.startswith("matroska") and stated is not None and seconds < stated - SHORT_S:
        raise cut_short(path, seconds, stated)


def _seconds(clock: str) -> float | None:
    """Return the seconds of a text such as 00:01:02.345000000; None for any other."""
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", clock)
    return 3600 * int(parts[1]) + 60 * int(parts[2]) + float(parts[3]) if parts else None


def _pyav(path: Path) -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as error:
        found = f"is {path.suffix}, which libsndfile does not read"
        raise InputError(path, found, hint="run pip install 'sordino[media]', or convert it to .wav first") from error
    return av
