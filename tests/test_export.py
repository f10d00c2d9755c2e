"""Export: the files equal the network, whole and hop by hop, say what they are, and are not kept when they differ."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import sordino
from docs_pages import blocks_of, read, section
from helpers.exports import NETWORKS, OLDER_GRAPH, SMALLEST, Half, export
from helpers.noise import white
from sordino import assets, models
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.experiments import run
from sordino.export import Parity, to_onnx
from sordino.inference.graphs.onnx_graph import Graph, stream_file
from sordino.models import MODELS, Enhancer

RATE = 16000
SLOW = ("tstnn", "demucs", "demucs-both-ways")
"""Networks whose export takes long, and which do not stream; another DEMUCS is exported by every run of the tests."""
STREAM = ("demucs-running", "unet", "dualpath")
CLOSE = {"tstnn": 1e-4}
"""What is near enough where 1e-5 is not: this one normalises each frame by itself, and what was rounded with it."""


@dataclass(frozen=True)
class Case:
    network: Enhancer
    path: Path
    parity: Parity
    streams: bool
    close: float


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NETWORKS],
)
def exported(request: pytest.FixtureRequest, kept: Path) -> Case:
    found = export(request.param, kept)
    streams, close = request.param in STREAM, CLOSE.get(request.param, 1e-5)
    return Case(found.network, found.path, found.parity, streams, close)


def whole(network: Enhancer, noisy: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(noisy)[None])[0].numpy()


def test_every_network_is_walked() -> None:
    # MANNER-B and MANNER-L have the attention of MANNER-S's deepest layer in every layer.
    assert {kind for kind, _ in NETWORKS.values()} == MODELS.keys() - {"manner-b", "manner-l"}


def test_parity_is_reported_and_true(exported: Case) -> None:
    assert 0 <= exported.parity.largest_difference < exported.close
    assert (exported.parity.stream_difference is not None) == exported.streams == exported.network.streams
    assert stream_file(exported.path).is_file() == exported.streams
    for length in (256, 257, 1000, 16001, 50003):
        noisy = white(length, seed=length)
        wanted, (found,) = whole(exported.network, noisy), Graph(str(exported.path)).run([noisy[None]])
        assert found.shape == (1, length)
        assert np.abs(wanted).max() > 1e-4
        assert np.abs(found[0] - wanted).max() < exported.close


@pytest.mark.parametrize(
    "arguments",
    [
        {"stride": 2, "resample": 4},
        pytest.param({"kernel": 7, "stride": 3, "resample": 2}, marks=pytest.mark.slow),
    ],
)
def test_lengths_that_the_resampling_does_not_divide_are_exported(arguments: dict[str, int], tmp_path: Path) -> None:
    network = models.create("demucs", hidden=4, depth=2, **arguments).eval()
    assert to_onnx(network, tmp_path / "demucs.onnx").largest_difference < 1e-5
    graph = Graph(str(tmp_path / "demucs.onnx"))
    for length in range(256, 276):
        noisy = white(length, seed=length)
        np.testing.assert_allclose(graph.run([noisy[None]])[0][0], whole(network, noisy), atol=1e-5)


def test_runs_as_a_model_and_as_a_stream(exported: Case) -> None:
    noisy = np.stack([white(9001, seed=1), white(9001, seed=2)])
    wanted = np.stack([whole(exported.network, channel) for channel in noisy])
    assert np.abs(sordino.enhance(noisy, RATE, exported.path) - wanted).max() < exported.close
    if not exported.streams:
        with pytest.raises(InputError, match=r"student\.stream\.onnx beside it; expected .*unet"):
            sordino.Streamer(exported.path)
        return
    torch_streamer = sordino.Streamer(exported.network)
    for path in (exported.path, stream_file(exported.path)):
        streamer = sordino.Streamer(path, RATE, channels=2)
        assert streamer.latency_s == torch_streamer.latency_s
        for cuts in ((1, 2, 900, 8000), (5000,)):
            parts = [streamer.feed(block) for block in np.split(noisy, cuts, axis=1)]
            found = np.concatenate([*parts, streamer.flush()], axis=1)
            assert np.abs(found - wanted).max() < exported.close
            streamer.reset()


def test_the_loop_on_the_page_gives_all_of_a_recording(exported: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exported.streams:
        pytest.skip("has no stream")
    monkeypatch.chdir(exported.path.parent)
    (loop,) = [one for one in blocks_of(section(read("export.md"), "Use in other")) if one.language == "python"]
    hop = exported.network.hop
    for length in (20 * hop, 20 * hop + 1, 21 * hop - 1):
        noisy = white(length, seed=length)
        page = {"noisy": noisy}
        exec(compile(loop.text, "export.md", "exec"), page)
        np.testing.assert_allclose(page["clean"], whole(exported.network, noisy), atol=exported.close)


def test_files_are_what_runtimes_read_and_tell_what_they_hold(exported: Case) -> None:
    for path in (exported.path, stream_file(exported.path))[: 1 + exported.streams]:
        proto = onnx.load(path)
        assert proto.ir_version <= 10  # all that onnxruntime 1.20 knows
        attention = {("com.microsoft", 1)} if "manner" in exported.network.name else set()
        assert {(one.domain, one.version) for one in proto.opset_import} == {("", 18), *attention}
        operators = Counter(node.op_type for node in proto.graph.node)
        assert {"BatchNormalization", "Loop", "Scan", "If"}.isdisjoint(operators)
        if exported.network.name == "tstnn":
            assert operators["GRU"] == 2  # one for each stage
        assert b"site-packages" not in path.read_bytes()
        assert b".py" not in path.read_bytes()
        facts = {one.key: one.value for one in proto.metadata_props}
        assert (facts["name"], json.loads(facts["arguments"])) == (exported.network.name, exported.network.arguments)
        assert (facts["sample_rate"], json.loads(facts["about"])) == ("16000", {"licence": "MIT"})
        assert ("latency_samples" in facts) == exported.streams
        if exported.streams:
            assert int(facts["latency_samples"]) == exported.network.latency
        if path == stream_file(exported.path):
            inputs, outputs = ([one.name for one in ports] for ports in (proto.graph.input, proto.graph.output))
            assert json.loads(facts["state"]) == dict(zip(inputs[1:], outputs[1:], strict=True))
            assert f"{exported.network.delay} samples late" in proto.doc_string
            assert f"with zeros, and feed {exported.network.delay} more zeros, rounded up" in proto.doc_string
            assert facts.get("window") == (None if exported.network.window is None else str(exported.network.window))


@pytest.mark.parametrize("graph", ["whole", "step"])
def test_what_differs_is_not_kept(graph: str, tmp_path: Path) -> None:
    before = {"student.onnx": OLDER_GRAPH, "student.stream.onnx": OLDER_GRAPH + b" "}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"onnx: .* differs from the network by .* at most 0\.0001; nothing was"):
        to_onnx(Half(wrong=graph), tmp_path / "student.onnx")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_stream_of_another_network_stays_beside_an_export(tmp_path: Path) -> None:
    (tmp_path / "student.stream.onnx").write_bytes(OLDER_GRAPH)
    to_onnx(Half(streams=False), tmp_path / "student.onnx", [white(300)])
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]
    for name in ("student.pt", "student.stream.onnx", "student"):
        with pytest.raises(InputError, match=r"ends in \.onnx"):
            to_onnx(Half(), tmp_path / name)


def test_a_checkpoint_is_exported_with_its_recipe_and_both_parities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, student = tmp_path / "best.safetensors", tmp_path / "student.onnx"
    network = models.create(**SMALLEST)
    models.save(network, checkpoint, recipe={"title": "a trial"}, step=7)
    main(["export", str(checkpoint), "-o", str(student), "--licence", "CC0", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["stream_output"] == str(tmp_path / "student.stream.onnx")
    assert 0 < answer["largest_difference"] < 1e-5
    assert 0 < answer["stream_difference"] < 1e-5
    for path in (student, stream_file(student)):
        assert onnx.load(path).doc_string.startswith("Removes the noise from one channel of speech")
        about = json.loads(Graph(str(path)).about["about"])
        assert about == {"recipe": {"title": "a trial"}, "step": 7, "licence": "CC0"}


def test_the_answer_for_people_names_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "best.safetensors"
    checkpoint.touch()
    parity = {"whole": Parity(2e-7, (256,)), "both": Parity(2e-7, (256,), 3e-7)}
    for name, lines in (("whole", 1), ("both", 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "export", lambda *_, name=name: parity[name])
            main(["export", str(checkpoint), "-o", "student.onnx"])
        output = capsys.readouterr().out.splitlines()
        assert output[0] == "student.onnx: differs from the network by at most 2.0e-07 on speech"
        assert output[1:] == ["student.stream.onnx: block by block, by at most 3.0e-07"][: lines - 1]


@pytest.mark.parametrize("path", sorted(assets.STUDENTS.glob("*.onnx")), ids=lambda path: path.name)
def test_graphs_that_ship_say_how_to_run_them(path: Path) -> None:
    assert onnx.load(path).doc_string.startswith("Removes the noise from one channel of speech")


class Nameless(Enhancer):
    """Built by its class, and not by its name."""

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return noisy


class OfAUser(Enhancer):
    """Its argument has another name, and its recurrent layer no bias."""

    name, arguments = "of-a-user", {}

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(1, 1, bias=False, batch_first=True)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        return sound + self.gru(sound.unsqueeze(-1))[0].squeeze(-1)


def test_names_of_arguments_are_free_and_recurrent_layers_need_no_bias(tmp_path: Path) -> None:
    assert to_onnx(OfAUser(), tmp_path / "student.onnx", [white(2000, level=0.1)]).largest_difference < 1e-5


def test_what_onnx_has_no_operator_for_is_refused(tmp_path: Path) -> None:
    network = OfAUser()
    network.gru = torch.nn.LSTM(1, 2, proj_size=1, batch_first=True)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="has a proj_size"):
        to_onnx(network, tmp_path / "student.onnx", [white(2000)])
    assert not list(tmp_path.iterdir())


def test_a_graph_of_another_project_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"y = f(*arguments, sample_rate)")
    with pytest.raises(InputError, match="is no graph of sordino, and would be lost"):
        to_onnx(Half(), path)


def test_a_network_that_could_not_be_built_again_is_refused_at_once(tmp_path: Path) -> None:
    for write in (to_onnx, models.save):
        with pytest.raises(InputError, match=r'create\("test_export:Nameless"') as caught:
            write(Nameless(), tmp_path / "student.onnx")
        assert caught.value.where == "Nameless"
