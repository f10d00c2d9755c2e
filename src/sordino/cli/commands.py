"""The commands by name: a line about each, and where it is defined. None is imported before it is typed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from sordino.cli.base import Command


@dataclass(frozen=True)
class Entry:
    """One line of the overview of commands.

    Args:
        summary: what the command does.
        module: file of ``sordino.cli`` that defines it.
        name: of the ``Command`` there.
    """

    summary: str
    module: str
    name: str

    def load(self) -> Command:
        """Import the command."""
        return getattr(importlib.import_module(f"sordino.cli.{self.module}"), self.name)


COMMANDS = {
    "enhance": Entry("remove noise from a file, a folder or a stream", "enhance", "ENHANCE"),
    "live": Entry("enhance a microphone and play the result at once", "live", "LIVE"),
    "models": Entry("list the shipped students, or show the card of one", "models", "MODELS"),
    "serve": Entry("open a page on this machine to listen to models", "serve", "SERVE"),
    "new": Entry("write a recipe for a folder of recordings", "new", "NEW"),
    "train": Entry("train a teacher, a baseline or a distilled student", "train", "TRAIN"),
    "evaluate": Entry("score a model: PESQ, STOI, CSIG, CBAK, COVL, SI-SDR, DNSMOS", "measure", "EVALUATE"),
    "study": Entry("train methods x scenarios x seeds, and compare them", "train", "STUDY"),
    "bench": Entry("measure the parameters, FLOPs, speed and memory of a network", "bench", "BENCH"),
    "check": Entry("check your own method, network, loss, metric or source", "check", "CHECK"),
    "report": Entry("compare runs with each other, and with the paper's figures", "measure", "REPORT"),
    "export": Entry("export a student to ONNX, or as a web page", "export", "EXPORT"),
    "demo": Entry("run every step in a few minutes, on synthetic data", "train", "DEMO"),
}

DATA = "data"
DATA_SUMMARY = "check, prepare, render and shard a corpus"
DATA_COMMANDS = {
    "check": Entry("find faults in a corpus", "data", "CHECK"),
    "prepare": Entry("resample a corpus once, to FLAC", "data", "PREPARE"),
    "render": Entry("write hours of mixtures to files", "data", "RENDER"),
    "shard": Entry("put a corpus into a few large tar files", "data", "SHARD"),
}
"""The commands below ``sordino data``."""
