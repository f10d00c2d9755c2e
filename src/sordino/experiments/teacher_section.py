"""The section ``teacher`` of a recipe: a model, or several as one, each of which is such a section of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sordino.errors import InputError, did_you_mean, written
from sordino.experiments.recipe_values import construct
from sordino.experiments.teacher_kinds import ALONE, SEVERAL, check_arguments
from sordino.inference.graphs.card import SUFFIX as CARD
from sordino.inference.graphs.card import MeanSource, is_card, read_card
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.stft import Stft
from sordino.inference.resolve import ModelSource, resolve
from sordino.plugins.import_string import FORM, is_name

DRAWS = 4


@dataclass(frozen=True)
class TeacherSection:
    """Source of the teacher: one of a checkpoint, an ONNX file, a published network, a function, and several.

    Args:
        checkpoint: a network that sordino trained (.safetensors, or the name of a student that ships) or a published
            one; methods can read its features. All other kinds teach by their estimate alone.
        onnx: an ONNX graph of any origin; or a model card, which says how to run one, or names several whose mean
            estimate is taught.
        stft: the transform around an ONNX file that takes spectra: ``n_fft``, ``hop`` and ``window``, see
            ``sordino.inference.graphs.stft.Stft``.
        preset: the name of a published network, whose transform and rate are then known; see
            ``sordino.inference.graphs.presets.PRESETS``.
        file: that network's ONNX file, or the folder of several; none of a network that a package brings.
        callable: ``package.module:function``, from noisy [T] to estimate [T], float32.
        sample_rate: Hz at which the function works, or an ONNX file that does not say; 16000 when left out.
        mean: several teachers, whose mean estimate is taught: a list of sections, or of words as ``estimate`` takes.
        best: several teachers; for each item the estimate of the best is taught.
        measure: what is largest for the best: a column of the metrics; ``si_sdr_db`` when left out. Items without
            clean speech are judged by ``dnsmos_ovrl``.
        estimate: another model, whose estimate is taught in place of the checkpoint's: a section, or one word for a
            checkpoint, an ONNX file or a function.
        cache: folder in which its answers are kept, so that each is computed once.
        draws: with a cache, the variants of each training item; as many epochs pass until the same ones come again.
            4 when left out.
        other_noise: share of the checkpoint's features that come from the same clean speech under the noise of another
            item; see ``sordino.distill.teachers.other_noise``. None when left out. It goes with no cache, as it depends
            on which items are in a batch.

    Raises:
        InputError: no kind of teacher or several, or arguments that do not go with the kind.
    """

    checkpoint: str | None = None
    onnx: str | None = None
    callable: str | None = None
    sample_rate: int | None = None
    estimate: Any = None
    cache: str | None = None
    draws: int | None = None
    preset: str | None = None
    file: str | None = None
    stft: Any = None
    mean: Any = None
    best: Any = None
    measure: str | None = None
    other_noise: float | None = None

    def __post_init__(self) -> None:
        check_arguments({name: value for name, value in vars(self).items() if value is not None})
        if self.onnx is not None and not self.onnx.lower().endswith((".onnx", CARD)):
            raise InputError("teacher.onnx", f"{self.onnx!r} is no .onnx file")
        if self.callable is not None and resolve(self.callable, otherwise="checkpoint").kind != "import":
            raise InputError("teacher.callable", f"{self.callable!r} is no {FORM}")
        if self.stft is not None or self.preset is not None:
            self.graph()
        if self.measure is not None:
            _check_measure(self.measure)
        self.estimating()
        self.members()

    @property
    def variants(self) -> int | None:
        """Number of variants of each training item; None without a cache, where every epoch has new ones."""
        if self.cache is None:
            return None
        return DRAWS if self.draws is None else self.draws

    def models(self) -> list[ModelSource]:
        """Return the models that it names: the one that estimates as it does, if there is one, and those inside it."""
        own = self.model()
        models = [] if own is None else [own]
        for section in self.inner():
            models += section.models()
        return models

    def model(self) -> ModelSource | None:
        """Return the model that estimates as this teacher does; None of the best of several.

        Which of them is best depends on the clean speech, which a model never has.
        """
        if self.best is not None:
            return None
        if self.mean is not None:
            models = [member.model() for member in self.members()]
            known = tuple(model for model in models if model is not None)
            if len(known) < len(models):
                return None
            names = " and ".join(model.name for model in known)
            return ModelSource("mean", f"mean of {names}", value=known)
        if self.preset is not None or self.stft is not None:
            return resolve(self.graph())
        source = resolve(self.checkpoint or self.onnx or self.callable, otherwise="checkpoint")
        return replace(source, sample_rate=self.sample_rate)

    def inner(self) -> list[TeacherSection]:
        """Return the sections inside this one."""
        members, estimating = self.members(), self.estimating()
        return members if estimating is None else [*members, estimating]

    def demand_files(self) -> None:
        """Check that the graphs of the section, and of those inside it, are there.

        Raises:
            InputError: a file is missing, or the package of a preset.
        """
        if self.preset is not None or (self.onnx is not None and not self.members()):
            _ = self.graph().files
        for one in self.inner():
            one.demand_files()

    def graph(self) -> GraphSource:
        """Return the ``GraphSource`` of an ONNX file or a published network.

        Raises:
            InputError: no such preset, or a transform that is none.
        """
        stft = None
        if self.stft is not None:
            if not isinstance(self.stft, Mapping):
                raise InputError(
                    "teacher.stft", f"{written(self.stft)} is no section", "{n_fft: 512, hop: 256, window: hann}"
                )
            errors: list[str] = []
            stft = construct("stft", Stft, self.stft, errors)
            if errors:
                raise InputError("teacher", "; ".join(errors))
        if self.onnx is not None and is_card(self.onnx):
            card = read_card(self.onnx)
            if isinstance(card, MeanSource):
                raise InputError("teacher", f"the mean in {self.onnx} has no transform of its own", "onnx: alone")
            return card
        try:
            return GraphSource(self.onnx or self.file, self.preset, stft, self.sample_rate)
        except InputError as error:
            raise InputError(f"teacher.{error.where}", error.found, error.expected, error.hint) from error

    def members(self) -> list[TeacherSection]:
        """Return the sections of ``mean`` or ``best``; none of another kind.

        Raises:
            InputError: fewer than two, or errors in them, all of which the message tells.
        """
        for kind in SEVERAL:
            given = getattr(self, kind)
            if given is not None:
                if isinstance(given, str) or not isinstance(given, Sequence) or len(given) < 2:
                    raise InputError(f"teacher.{kind}", f"{given!r}", "a list of two or more teachers")
                return _sections({f"{kind}.{place}": one for place, one in enumerate(given)})
        if self.onnx is not None:
            return self._members_of_card(self.onnx)
        return []

    def _members_of_card(self, onnx: str) -> list[TeacherSection]:
        """Return the sections that the card of a mean stands for; none for another file."""
        try:
            # ``resolve`` refuses a mean of itself, and code that nobody but the card names.
            if not is_card(onnx) or resolve(onnx).kind != "mean":
                return []
            card = read_card(onnx)
        except InputError as error:
            raise InputError("teacher.onnx", f"{error.where}: {error.found}", error.expected, error.hint) from error
        if not isinstance(card, MeanSource):
            return []
        if self.sample_rate is not None:
            raise InputError("teacher.sample_rate", f"the mean in {onnx} knows its own", "none")
        return _sections({f"{onnx}: mean.{place}": one for place, one in enumerate(card.members)})

    def estimating(self) -> TeacherSection | None:
        """Return the section of ``estimate``; None without one.

        Raises:
            InputError: errors in it, all of which the message tells.
        """
        if self.estimate is None:
            return None
        [section] = _sections({"estimate": self.estimate})
        return section


def _sections(given: Mapping[str, Any]) -> list[TeacherSection]:
    """Read the sections of the members, by their keys."""
    errors: list[str] = []
    sections = []
    for key, one in given.items():
        if isinstance(one, Mapping):
            errors += [f"{key}.{name}: belongs to the whole, not to a part of it" for name in ALONE if name in one]
            sections.append(construct(key, TeacherSection, one, errors))
        elif isinstance(one, str):
            sections.append(of_word(one))
        else:
            errors.append(f"{key}: {one!r} is no teacher; expected a section, or one word for a model")
    if errors:
        raise InputError("teacher", "; ".join(errors))
    return [section for section in sections if section is not None]


def of_word(word: str) -> TeacherSection:
    """Return the section of a model that one word names."""
    source = resolve(word, otherwise="checkpoint")
    if source.kind == "import":
        return TeacherSection(callable=word)
    if is_card(word):
        return TeacherSection(onnx=word)
    if source.kind == "external":
        file = source.value.file
        return TeacherSection(preset=source.value.kind, file=None if file is None else str(file))
    if source.kind in ("onnx", "stream"):
        return TeacherSection(onnx=word)
    return TeacherSection(checkpoint=word)


def _check_measure(name: str) -> None:
    from sordino.metrics import COLUMNS

    if name not in COLUMNS and not is_name(name):
        expected = f"one of {', '.join(COLUMNS)}"
        raise InputError("teacher.measure", f"no measure {name!r}", expected, did_you_mean(name, COLUMNS))
