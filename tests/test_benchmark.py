"""What models cost, beside the paper: every network once, and nothing that is not known."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from sordino import models
from sordino.assets import recipes, shipped, student_file
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.evaluation import cost
from sordino.evaluation.efficiency import Cost
from sordino.evaluation.speed import RealTimeFactor
from sordino.experiments import bench as benchmark
from sordino.experiments.bench import TOYS, bench, bench_all
from sordino.experiments.build import build_network
from sordino.experiments.recipe import read
from sordino.report import paper
from sordino.report.costs import CostRow, cost_table
from sordino.report.paper import PaperRow

SPEED = RealTimeFactor(0.25, 0.2, 0.3, 1.0, 1.0, 4.0, 5, 1)
ROW = PaperRow("1", "PRINTED", "test set", 2.5e6, 3e9, {"pesq_wb": 3.0}, "counted otherwise")
ROWS = [
    CostRow("student", Cost("net", {"depth": 3}, 2_000_000, 4e9, 5e9, None, SPEED, 7 * 2**20), ROW),
    CostRow("other", Cost("other", file_bytes=100)),
]


def unchanged(noisy: Any) -> Any:
    return noisy


# The table


def test_table_puts_the_printed_figures_beside_those_measured() -> None:
    table = cost_table(ROWS, 4.0)
    header, _, first, second = table.to_text().splitlines()[:4]
    assert header.split("  ")[0] == "Model"
    assert first.split() == ["student", "2.00", "2.50", "4.00", "3.00", "5.00", "0.250", "7"]
    assert second.split() == ["other"] + ["–"] * 7
    rows = list(csv.DictReader(table.to_csv().splitlines()))
    assert [float(rows[0][key]) for key in ("params", "params_printed", "macs_per_second")] == [2e6, 2.5e6, 5e9]
    assert set(rows[1].values()) == {"other", ""}
    assert table.to_markdown().startswith("| Model")
    assert r"\toprule" in table.to_latex()
    with pytest.raises(InputError, match="nothing to show"):
        cost_table([], 4.0)


def test_table_leaves_out_what_nobody_knows_and_says_what_is_not_comparable() -> None:
    counted = [CostRow("student", Cost("net", {}, 10, 1e9, 1e9))]
    assert cost_table(counted, 2.0).to_text().splitlines()[0].split("  ")[-1] == "MACs (G/s)"
    assert not any("Real-time" in note or "Printed" in note for note in cost_table(counted, 2.0).notes)
    notes = cost_table(ROWS, 4.0).notes
    assert notes[-1] == "student, printed: counted otherwise."
    assert any("median of 5 pass(es) over 4 s on 1 thread(s)" in note for note in notes)
    printed = json.loads(json.dumps(ROWS[0].as_json()))["printed"]
    assert printed == {"name": "PRINTED", "note": "counted otherwise", "params": 2.5e6, "flops_paper": 3e9}
    assert ROWS[1].as_json()["printed"] is None


# Every network that ships


@pytest.fixture(scope="module")
def counted() -> list[CostRow]:
    """All that ships, counted; to count the multiply-accumulates of one is a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sordino.evaluation.efficiency.macs_per_second", lambda network, seconds: seconds)
        return bench_all(seconds=2.0, clocked=False)


def test_every_network_of_a_recipe_is_one_line(counted: list[CostRow]) -> None:
    networks = [(row.cost.name, json.dumps(row.cost.arguments)) for row in counted]
    assert len(set(networks)) == len(networks)
    sections = [read(name).model for name in recipes() if not name.startswith(TOYS)]
    built = {str(section): build_network(section) for section in sections}
    assert {(network.name, json.dumps(network.arguments)) for network in built.values()} == set(networks)
    assert all((row.cost.speed, row.cost.macs_per_second) == (None, 2.0) for row in counted)


def test_rows_of_the_paper_come_in_its_order_with_its_sizes(counted: list[CostRow]) -> None:
    order = [row.name for row in paper.results(1)]
    shown = [row.printed for row in counted if row.printed is not None]
    assert shown == [row.printed for row in counted[: len(shown)]]
    assert [order.index(row.name) for row in shown] == sorted(order.index(row.name) for row in shown)
    # Of the rows that are one network, the plain one speaks for all.
    assert not any("MV-AT" in row.name for row in shown)
    claimed = [read(name).paper for name in recipes()]
    rows = {entry.row for entry in claimed if entry is not None and entry.table == 1}
    assert {row.name for row in shown} == {name for name in rows if "MV-AT" not in name}


def test_sizes_are_those_that_the_paper_prints(counted: list[CostRow]) -> None:
    for row in counted:
        if row.printed is None:
            continue
        assert row.cost.parameters == pytest.approx(row.printed.params, abs=0.005e6), row.title
        if not row.printed.note:  # a note says that the FLOPs follow another convention
            assert row.cost.flops_paper == pytest.approx(row.printed.flops_paper, rel=0.01), row.title


# One model


def test_a_checkpoint_and_a_graph_of_ours_cost_what_the_network_costs(tmp_path: Path) -> None:
    network = models.create("manner-s", hidden=2, depth=3)
    checkpoint, graph = tmp_path / "student.safetensors", student_file()
    models.save(network, checkpoint)
    card = shipped()[graph.stem]
    student = models.create(card["network"], **card["arguments"])
    for model, file, twin in ((checkpoint, checkpoint, network), (graph.stem, graph, student)):
        found = bench(model, seconds=1.0, clocked=False)
        assert (found.name, found.arguments, found.speed) == (twin.name, twin.arguments, None)
        assert found.parameters == models.count_parameters(twin)
        assert found.flops_paper == cost.paper_flops(twin)
        assert found.macs_per_second == cost.macs_per_second(twin, 1.0)
        assert found.file_bytes == file.stat().st_size
    assert found.parameters == card["parameters"]


def test_of_a_model_from_elsewhere_what_is_not_known_is_none(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["audio", "shape"], ["three"]),
            helper.make_node("Conv", ["three", "kernel"], ["filtered"], pads=[2, 2]),
            helper.make_node("Squeeze", ["filtered", "one"], ["out"]),
        ],
        "theirs",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", "time"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, None])],
        [
            helper.make_tensor("kernel", TensorProto.FLOAT, [1, 1, 5], [0.2] * 5),
            helper.make_tensor("shape", TensorProto.INT64, [3], [0, 1, -1]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    path = tmp_path / "theirs.onnx"
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), path)
    found = bench(path, seconds=0.2, repeats=2, model_rate=8000)
    assert (found.name, found.parameters, found.file_bytes) == ("theirs", 5, path.stat().st_size)
    assert (found.arguments, found.flops_paper, found.macs_per_second) == (None, None, None)
    assert found.speed is not None
    assert found.speed.median > 0
    assert found.peak_memory_bytes is not None
    by_name = bench(f"{__name__}:unchanged", clocked=False)
    assert by_name == Cost(f"{__name__}:unchanged")


def test_the_rate_of_a_model_from_elsewhere_is_that_of_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    monkeypatch.setitem(globals(), "unchanged", lambda noisy: (lengths.append(len(noisy)), noisy)[1])
    monkeypatch.setattr(benchmark.speed, "peak_memory", lambda *given: len(given))
    bench(f"{__name__}:unchanged", seconds=0.5, repeats=1, model_rate=48000)
    assert lengths == [2 * 48000] + [24000] * 2  # the first is speech, on which its delay is measured


# Typed


def test_bench_on_the_command_line(
    counted: list[CostRow], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "bench_all", lambda *given: counted)
    main(["bench", "--all", "--counts", "--seconds", "2", "--style", "markdown"])
    printed = capsys.readouterr().out
    assert printed.startswith("| Model")
    assert "FLOPs, paper (G), printed" in printed
    main(["bench", "--all", "--counts", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [line["title"] for line in answer["models"]] == [row.title for row in counted]
    assert answer["models"][0]["printed"]["name"] == "MANNER-B-Teacher"
    main(["bench", f"{__name__}:unchanged", "--counts"])
    assert "parameters               unknown\n" in capsys.readouterr().out
    main(["bench", "valentini/manner-s-1.5gf.yaml", "--counts"])  # the file of a recipe that ships
    assert "FLOPs, paper" in capsys.readouterr().out
    for words in (["bench"], ["bench", "valentini/manner-s-1.5gf", "--all"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert "MODEL, or --all" in capsys.readouterr().err
