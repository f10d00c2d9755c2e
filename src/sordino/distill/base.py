"""The contract of every distillation method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol

from torch import Tensor, nn

from sordino.types import Batch, Tap, View


class Reduction(Protocol):
    """What is enough of a teacher's feature: a smaller one, with which the loss of the method is the same.

    A frozen dataclass: equal ones do the same, and the repr says what that is.
    """

    def __call__(self, feature: Tensor) -> Tensor:
        """[B,C,N] or [B,C,N,F] to a feature of as many axes or fewer, the batch first."""
        ...


class Method(nn.Module):
    """What a teacher teaches: ``forward(student: View, teacher: View, batch: Batch) -> scalar``.

    A method never sees a network. It is built, then told once which taps the two networks have (``connect``), and
    answers which of them it wants to read; then it is shown one View of each (``prepare``) to make what it learns of
    the right size. What it learns itself (projections, attention over layers) are its own parameters: they train with
    the student and are saved apart from it.

    Attributes:
        needs_clean: whether the method reads ``batch.clean``; False for all that only compare teacher and student.
        across_items: whether the loss compares the items of a batch with each other, and so is no mean over them.
            Such a method is shown the items of all training processes, in a batch without ids and references.
        zero_when_equal: whether the loss is 0 when student and teacher show the same View.
        student_taps, teacher_taps: the taps to observe; set by ``connect``.
        student_places, teacher_places: what the networks declare of these taps, for
            ``sordino.distill.layers.positions``; set by ``read``.
        reductions: teacher tap -> what is enough of its feature, for a cache; set by ``prepare``. Taps that are not
            named are needed whole.
        rows, columns: what the axes of a table in ``figures`` stand for, most often taps.
    """

    needs_clean: ClassVar[bool] = False
    zero_when_equal: ClassVar[bool] = True
    across_items: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.student_taps: tuple[str, ...] = ()
        self.teacher_taps: tuple[str, ...] = ()
        self.student_places: dict[str, Tap] = {}
        self.teacher_places: dict[str, Tap] = {}
        self.reductions: dict[str, Reduction] = {}
        self.rows: list[str] = []
        self.columns: list[str] = []

    @property
    def needs_estimate(self) -> bool:
        """Whether the method reads the teacher's estimate; one that reads features does not unless it says so."""
        return not self.teacher_taps

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        """Choose the taps to read, out of those that the two networks declare. A method on waveforms needs none.

        Raises:
            InputError: the two networks offer no pair of features that this method could compare.
        """

    def read(
        self, student: Mapping[str, Tap], teacher: Mapping[str, Tap], ours: Iterable[str], theirs: Iterable[str]
    ) -> None:
        """Set the taps to observe to those named ``ours`` and ``theirs``, each once; for ``connect``."""
        self.student_places = {name: student[name] for name in ours}
        self.teacher_places = {name: teacher[name] for name in theirs}
        self.student_taps, self.teacher_taps = tuple(self.student_places), tuple(self.teacher_places)

    def prepare(self, student: View, teacher: View) -> None:
        """Make the parameters that this method learns, sized by one View of each network. Most methods learn none."""

    def figures(self) -> dict[str, Tensor]:
        """What the last loss tells beyond itself, for the log: name -> table [rows,columns] without a gradient."""
        return {}

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar. The teacher's View carries no gradient."""
        raise TypeError(f"{type(self).__name__} is a contract, not a method: it has no loss")
