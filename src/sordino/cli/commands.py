"""The commands: a file for each group, its words beside what they call. ``cli`` puts them together."""

from sordino.cli import data, enhance, export, live, measure, serve, train
from sordino.cli.base import Command

COMMANDS: dict[str, Command] = {
    "enhance": enhance.ENHANCE,
    "live": live.LIVE,
    "models": enhance.MODELS,
    "serve": serve.SERVE,
    "train": train.TRAIN,
    "evaluate": measure.EVALUATE,
    "study": train.STUDY,
    "bench": measure.BENCH,
    "report": measure.REPORT,
    "export": export.EXPORT,
    "demo": train.DEMO,
}

DATA_COMMANDS: dict[str, Command] = {
    "check": data.CHECK,
    "prepare": data.PREPARE,
    "render": data.RENDER,
    "shard": data.SHARD,
}
