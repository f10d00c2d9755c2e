"""``sotto export``: a checkpoint as ONNX."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from sotto.commands.base import Answer, Command, flag, needs_training_tier


def export(given: Namespace) -> Answer:
    needs_training_tier()
    from sotto import recipes
    from sotto.runtime import stream_file

    parity = recipes.export(given.checkpoint, given.output, given.licence)
    text = f"{given.output}: differs from the network by at most {parity.largest_difference:.1e} on speech"
    streamed = None
    if parity.stream_difference is not None:
        streamed = str(stream_file(given.output))
        text += f"\n{streamed}: block by block, by at most {parity.stream_difference:.1e}"
    return asdict(parity) | {"output": given.output, "stream_output": streamed}, text


EXPORT = Command(
    "write a checkpoint as ONNX",
    export,
    (
        flag("checkpoint", help="a checkpoint of sotto's own, or a published one"),
        flag("-o", "--output", required=True, help="the .onnx file to write"),
        flag("--licence", default="", help="licence of the weights, for the file's metadata"),
    ),
    "Export a network for any input length; one that streams gets a second file, .stream.onnx, for blocks.\n"
    "What is written equals the network on real speech to 1e-4, or nothing is.",
    lambda: "example:\n  sotto export runs/student/best.safetensors -o student.onnx",
)
