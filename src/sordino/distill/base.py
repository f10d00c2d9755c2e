"""The contract of every distillation method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol

from torch import Tensor, nn

from sordino.types import Batch, Tap, View


class Reduction(Protocol):
    """Function from a teacher's feature to a smaller one with which the loss of a method is the same.

    It is a frozen dataclass. Equal reductions have the same effect, and a cache of the teacher's outputs stores the
    repr.
    """

    def __call__(self, feature: Tensor) -> Tensor:
        """Reduce [B,C,N] or [B,C,N,F] to a feature with as many axes or fewer, the batch first."""
        ...


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Check that the value of an argument is one of its choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"no {argument} {value!r}; there are {', '.join(choices)}")


class Method(nn.Module):
    """A distillation loss: ``forward(student: View, teacher: View, batch: Batch) -> scalar``.

    A method never sees a network. It is used in this order: ``connect`` gets the taps that both networks declare and
    chooses those to read; ``prepare`` gets one View of each network and creates the parameters that fit its features;
    ``forward`` computes the loss. The parameters (projections, attention over layers) train with the student and are
    not saved in its checkpoint.

    Attributes:
        needs_clean: whether the method reads ``batch.clean``; False for methods that only compare the two networks.
        across_items: whether the loss compares the items of a batch with each other, so that it is not a mean over
            items. Such a method gets the items of all training processes, in a batch without ids and references.
        zero_when_equal: whether the loss is 0 when both Views are the same.
        may_be_zero: whether the loss of a batch is 0 where the student has nothing to learn from its teacher.
        student_taps, teacher_taps: the taps to observe; set by ``connect``.
        student_places, teacher_places: the declarations of these taps, for ``sordino.distill.layers.positions``; set by
            ``read``.
        reductions: teacher tap -> reduction that a cache may store in place of the feature; set by ``connect`` or
            ``prepare``. Features of other taps are needed whole.
        tables: tables that ``forward`` makes for the log: name -> [rows,columns], without a gradient.
        rows, columns: labels of the axes of these tables, usually taps.
    """

    needs_clean: ClassVar[bool] = False
    zero_when_equal: ClassVar[bool] = True
    may_be_zero: ClassVar[bool] = False
    across_items: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.student_taps: tuple[str, ...] = ()
        self.teacher_taps: tuple[str, ...] = ()
        self.student_places: dict[str, Tap] = {}
        self.teacher_places: dict[str, Tap] = {}
        self.reductions: dict[str, Reduction] = {}
        self.tables: dict[str, Tensor] = {}
        self.rows: list[str] = []
        self.columns: list[str] = []

    @property
    def needs_estimate(self) -> bool:
        """Whether the method reads the teacher's estimate; by default only a method without features does."""
        return not self.teacher_taps

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        """Choose the taps to read among those that the two networks declare. A method on waveforms needs none.

        Raises:
            InputError: the two networks have no features that this method can compare.
        """

    def read(
        self,
        student: Mapping[str, Tap],
        teacher: Mapping[str, Tap],
        student_names: Iterable[str],
        teacher_names: Iterable[str],
    ) -> None:
        """Set the taps to observe, each once. ``connect`` calls this with the names that it has chosen."""
        self.student_places = {name: student[name] for name in student_names}
        self.teacher_places = {name: teacher[name] for name in teacher_names}
        self.student_taps, self.teacher_taps = tuple(self.student_places), tuple(self.teacher_places)

    def prepare(self, student: View, teacher: View) -> None:
        """Create the method's parameters, sized by one View of each network. Most methods have none."""

    def figures(self) -> dict[str, Tensor]:
        """Return tables of the last loss for the log: name -> [rows,columns], without a gradient."""
        return self.tables

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar. The teacher's View has no gradient."""
        raise TypeError(f"{type(self).__name__} is an abstract base class: define forward in a subclass")
