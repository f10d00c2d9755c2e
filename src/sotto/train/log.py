"""The log of a run: one JSON object per line, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from sotto.files import unwritable, write_text

LOG = "log.jsonl"


def read_log(folder: str | Path) -> list[dict[str, float]]:
    """The records of a run in the order of their steps; an unfinished last line, left by a crash, is passed over."""
    path = Path(folder) / LOG
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Log:
    """Appends records to ``log.jsonl`` and to TensorBoard event files below ``tensorboard/``.

    Args:
        folder: of the run.
        step: the step that the run starts from; records after it, left by an interrupted run, are cut off.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        kept = [record for record in read_log(folder) if record["step"] <= step]
        write_text(folder / LOG, "".join(json.dumps(record) + "\n" for record in kept))
        self._file = open(folder / LOG, "a", encoding="utf-8")  # noqa: SIM115  (closed by __exit__)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record ``values`` of ``step``, at once on disk."""
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise unwritable(self._file.name, error) from error
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._file, self._board):
            try:
                stream.close()
            except OSError as failure:
                # What could not be written is tried once more by close; an error already on its way says it better.
                if error is None:
                    raise unwritable(self._file.name, failure) from failure
