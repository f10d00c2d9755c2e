"""ONNX: a network as one file that runs without torch, of any input length, kept only if it equals the network.

The graph takes ``noisy`` [1, samples] and gives ``estimate`` [1, samples], float32; normalisation, padding and cutting
are inside. Its metadata says what it is: name, arguments, sample rate, and what the checkpoint knew of its training.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch.export import Dim

from sotto.audio import io
from sotto.errors import InputError
from sotto.files import atomic
from sotto.models import Enhancer
from sotto.shelf import SPEECH

OPSET = 18
TOLERANCE = 1e-4
SHORTEST = 256  # samples; below it the symbolic shapes of a graph would need cases that no recording has
LONGEST = 2**28


@dataclass(frozen=True)
class Parity:
    """How far the ONNX file is from the network: the largest difference of a sample over signals of these lengths."""

    largest_difference: float
    lengths: tuple[int, ...]
    tolerance: float


def to_onnx(
    network: Enhancer,
    path: str | Path,
    speech: Sequence[np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Write ``network`` as ONNX, after checking that the file gives the network's output on speech.

    Args:
        network: any network of the project, in whatever mode; it is left as it was.
        path: ends in ``.onnx``; replaced atomically, and left alone when the check fails.
        speech: float32 [T] signals to check on; noisy real speech that ships with the package when left out.
        about: facts for the metadata, such as the training recipe and the licence; JSON-serialisable.
        tolerance: largest difference allowed, in units of full scale.

    Raises:
        InputError: the file would differ by more than ``tolerance``.
    """
    signals = list(speech) if speech is not None else speech_signals(network.sample_rate)
    training = network.training
    network.eval()
    try:
        proto = _graph(network, about or {})
        with atomic(path) as temporary:
            onnx.save(proto, temporary)
            parity = compare(network, temporary, signals, tolerance)
            if not parity.largest_difference <= tolerance:
                found = f"the ONNX graph differs from the network by {parity.largest_difference:.2g}"
                raise InputError(path, found, f"at most {tolerance:g}", "nothing was written")
    finally:
        network.train(training)
    return parity


def compare(network: Enhancer, path: str | Path, signals: Sequence[np.ndarray], tolerance: float = TOLERANCE) -> Parity:
    """Run both on every signal [T]; the network stays as it is, the file runs on onnxruntime."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    device = next(network.parameters()).device
    largest = 0.0
    for signal in signals:
        with torch.inference_mode():
            wanted = network(torch.from_numpy(signal)[None].to(device)).cpu().numpy()
        found = np.asarray(session.run(None, {"noisy": signal[None]})[0])
        difference = np.abs(wanted - found).max()
        # A NaN must not lose against a number.
        largest = float(max(largest, difference if np.isfinite(difference) else np.inf))
    return Parity(largest, tuple(len(signal) for signal in signals), tolerance)


def count_weights(path: str | Path) -> int:
    """The number of values in the weights of an ONNX file, whoever wrote it: its initializers, floating or quantised.

    Integers of more than 8 bits are lengths and indices, and are not counted.
    """
    others = (onnx.TensorProto.INT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    graph = onnx.load(str(path), load_external_data=False).graph
    return sum(math.prod(weight.dims) for weight in graph.initializer if weight.data_type not in others)


def speech_signals(sample_rate: int) -> list[np.ndarray]:
    """Real speech in white noise at 5 dB, cut to several awkward lengths: what exports are checked on."""
    clean, rate = io.read(Path(str(SPEECH)), sample_rate)
    noise = np.random.default_rng(0).standard_normal(clean.shape[-1]).astype(np.float32)
    noisy = clean[0] + noise * np.float32(clean[0].std() * 10 ** (-5 / 20))
    return [np.ascontiguousarray(noisy[:length]) for length in (SHORTEST, rate // 4 + 1, rate + 77, len(noisy))]


def _graph(network: Enhancer, about: Mapping[str, Any]) -> onnx.ModelProto:
    device = next(network.parameters()).device
    example = torch.zeros(1, network.sample_rate, device=device)
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["noisy"],
            output_names=["estimate"],
            dynamic_shapes={"noisy": {1: Dim("samples", min=SHORTEST, max=LONGEST)}},
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    proto = program.model_proto
    _strip(proto)
    proto.producer_name = "sotto"
    facts = {
        "name": network.name,
        "arguments": json.dumps(network.arguments),
        "sample_rate": str(network.sample_rate),
        "minimum_samples": str(SHORTEST),
        "about": json.dumps(about),
    }
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    return proto


def _strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter notes for debugging: stack traces with the paths of the exporting machine."""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.functions[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own libraries from the user, who can do nothing about them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
