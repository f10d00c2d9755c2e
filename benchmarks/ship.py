"""Put the student of a finished run into the package, with cards for programs (JSON) and people (Markdown).

    python benchmarks/ship.py runs/real/mvat manner-s-1.5gf --summary "..." --commit 1234567 --default
    python benchmarks/ship.py runs/real/mvat manner-s-1.5gf --summary "..." --commit 1234567 --int8

It ships as ONNX and as a checkpoint; with --int8 in 8 bits instead, as another student whose name ends in -int8. What
is quantised is judged on the mixtures that the run was validated on, never on test pairs. The cards carry figures of
the test pairs of the run's recipe. For runs of benchmarks/real, whose data DATA describes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import soundfile
import yaml
from grow import hours
from weak_spots import weaknesses

from sordino import models
from sordino.assets import INT8
from sordino.data import sources
from sordino.evaluation.cost import paper_flops
from sordino.evaluation.trained_on import METRICS as DIFFERENTIABLE
from sordino.evaluation.trained_on import card_notes, trained_on
from sordino.experiments import run
from sordino.experiments.export import export_int8
from sordino.files import atomic, write_text
from sordino.json_files import write_json
from sordino.report.runs import RunRow
from sordino.report.table import Table

MODELS = Path(__file__).resolve().parents[1] / "src" / "sordino" / "assets" / "models"
MAX_DROP = 0.02  # of PESQ; less than the interval of any figure on the cards
LICENCE = "MIT"
DATA = (
    "Clean speech, 98 minutes: LibriSpeech and VCTK (CC BY 4.0), speechocean762 and CMU ARCTIC (free for any use), "
    "Common Voice Upper Sorbian (CC0 1.0), Zalozba (MIT). Noise, 47 minutes: ESC-10 (CC BY 3.0 / CC0), Noisekun, "
    "Blanket, Berlin Noise, Speech Commands background, office ambience by klankbeeld (CC BY), Picovoice, SpeechBrain "
    "(Apache 2.0), Mycroft and DeepFilterNet samples (public domain / CC0). Nothing licensed for non-commercial use "
    "only."
)
METRICS = ["pesq_wb", "stoi", "estoi", "composite", "si_sdr_db", "si_sdr_120_db", "dnsmos"]
SHOWN = {
    "pesq_wb": "PESQ-wb",
    "stoi": "STOI",
    "estoi": "ESTOI",
    "csig": "CSIG",
    "cbak": "CBAK",
    "covl": "COVL",
    "si_sdr_db": "SI-SDR, dB",
    "si_sdr_120_db": "SI-SDR above 120 Hz, dB",
    "dnsmos_ovrl": "DNSMOS OVRL",
}
WEAK_ON = "benchmarks/real/default.yaml"
"""The recipe whose held-out speech and noise show what a student is bad at."""
HARM = {"stoi": "STOI", "si_sdr_db": "SI-SDR", "si_sdr_120_db": "SI-SDR above 120 Hz"}
"""What a denoiser must not lower below the noisy input's."""


def main() -> None:
    """Read the words typed and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="name of the shipped student")
    parser.add_argument("--summary", required=True, help="one line for sordino models")
    parser.add_argument("--commit", required=True, help="the commit that trained it")
    parser.add_argument("--last", action="store_true", help="its last checkpoint, not the one that was best")
    parser.add_argument("--default", action="store_true", help="make it the model that sordino enhance takes")
    parser.add_argument("--int8", action="store_true", help="ship it in 8 bits, beside the one in float")
    given = parser.parse_args()
    checkpoint = given.run / ("last.safetensors" if given.last else "best.safetensors")
    training = trained(checkpoint) | {"commit": given.commit}
    recipe = training["recipe"]
    name = given.name + INT8 if given.int8 else given.name
    graph = MODELS / f"{name}.onnx"
    if given.int8:
        how = quantise(checkpoint, graph, recipe)
    else:
        how = None
        run.export(checkpoint, graph, LICENCE)
        with atomic(MODELS / f"{name}.safetensors") as file:
            file.write_bytes(checkpoint.read_bytes())
    noisy = run.evaluate("noisy", recipe=recipe, metrics=METRICS)
    row = RunRow.of(run.evaluate(str(graph), recipe=recipe, metrics=METRICS), noisy=noisy)
    card = {
        "name": name,
        "default": given.default,
        "summary": given.summary,
        **size(models.load(checkpoint)),
        "training": training,
        "data": DATA,
        "int8": how,
        "scores": {
            "test": "30 pairs of the VoiceBank-DEMAND test set",
            "model": row.means,
            "noisy": noisy.means(),
            "lowered": {column: [row.worse[column], row.n] for column in HARM},
            "clean": left_alone(graph, recipe["data"]["test_clean"]),
            "weak_spots": weaknesses(str(graph), WEAK_ON),
        },
        "licence": LICENCE,
    }
    write_json(MODELS / f"{name}.json", card)
    write_text(MODELS / f"{name}.md", page(card))


def left_alone(graph: Path, clean: str) -> dict[str, float]:
    """What a model makes of clean speech, scored against that speech."""
    return run.evaluate(str(graph), (clean, clean), metrics=["pesq_wb", "si_sdr_db"]).means()


def trained(checkpoint: Path) -> dict[str, Any]:
    """How the network of a run was trained, and before it the network that the run began with, if it did not anew."""
    about = models.read_about(checkpoint)
    taken = hours(checkpoint.parent) or {"hours": about["hours"]}
    training = {"steps": about["step"], **taken, "recipe": about["recipe"]}
    learnt = trained_on({"about": about})
    training |= {loss: loss in learnt for loss in DIFFERENTIABLE}
    if "before" in about:  # a checkpoint that shipped, whose runs are gone: what its card reported is in its header
        return training | {"before": about["before"]}
    begun = about["recipe"]["model"].get("checkpoint")
    return training | ({"before": trained(Path(begun))} if begun else {})


def size(network: models.Enhancer) -> dict[str, Any]:
    """What a card says of the network itself."""
    return {
        "network": network.name,
        "arguments": network.arguments,
        "parameters": models.count_parameters(network),
        "flops_paper": paper_flops(network),
        "sample_rate": network.sample_rate,
        "causal": network.streams,
        "latency_s": network.latency_s,
    }


def quantise(checkpoint: Path, graph: Path, recipe: dict[str, Any]) -> str:
    """Write a checkpoint in 8 bits, judged on the run's validation mixtures; returns how, in words."""
    with TemporaryDirectory() as folder:
        places = [Path(folder) / kind for kind in ("noisy", "clean")]
        for place in places:
            place.mkdir()
        items = sources.create(**recipe["data"]).valid()
        for item in items:
            assert item.clean is not None  # students are validated on pairs
            for place, wave in zip(places, (item.noisy, item.clean), strict=True):
                soundfile.write(place / f"{item.id}.wav", wave, 16000, subtype="FLOAT")
        done = export_int8(checkpoint, graph, (str(places[0]), str(places[1])), max_drop=MAX_DROP, licence=LICENCE)
    return f"{done.attempts[-1]}, judged on the {len(items)} mixtures of the validation ({done.score:.3f} in float)"


def _recipe(run: dict[str, Any]) -> str:
    """The title of a run, and its folder where its recipe names one: that of a study's run does not."""
    out = run["recipe"].get("out")
    return run["recipe"]["title"] + (f" ({out})" if out else "")


def page(card: dict) -> str:
    """The card for people."""
    scores = card["scores"]
    rows = [
        [label, *(f"{scores[who][column]:.3f}" for who in ("noisy", "model"))]
        for column, label in SHOWN.items()
        if column in scores["model"]
    ]
    table = Table.of(["", "noisy input", card["name"]], rows).to_markdown()
    hearing = (
        f"Causal: it can answer block by block, {1000 * card['latency_s']:.0f} ms late."
        if card["causal"]
        else "Not causal: it hears the whole recording before it answers."
    )
    eight_bits = f"* **8 bits:** {card['int8']}.\n" if card["int8"] else ""
    recipe = yaml.safe_dump(json.loads(json.dumps(card["training"]["recipe"])), sort_keys=False)
    runs = [card["training"]]
    while "before" in runs[-1]:
        runs.append(runs[-1]["before"])
    hours = sum(run["hours"] for run in runs)
    earlier = "".join(f"\n  Before it: {run['steps']} steps, {_recipe(run)}." for run in runs[1:])
    learnt = "".join(f"\n\n{note}" for note in card_notes({card["name"]: card}))
    return f"""# {card["name"]}

{card["summary"]}

* **Network:** {card["network"]} {card["arguments"]}, {card["parameters"]:,} parameters,
  {card["flops_paper"] / 1e9:.2f} GFLOPs on 4 s as the MV-AT paper counts them. 16 kHz.
  {hearing}
* **Training:** {card["training"]["steps"]} steps of the recipe below, at commit {card["training"]["commit"]}.{earlier}
{eight_bits}* **Data:** {card["data"]}
* **Licence of the weights:** {card["licence"]}.
* **Time:** {hours:.1f} hours on one processor core.
* **What it is bad at:** {limits(card)}

Mean over {scores["test"]}. They chose no checkpoint: those
were selected on held-out training speakers and noises.{learnt}

{table}
```yaml
{recipe}```
"""


def limits(card: dict) -> str:
    """Where a student does harm, by its figures."""
    scores = card["scores"]
    counts = [f"{HARM[column]} on {found} of {total}" for column, (found, total) in scores["lowered"].items()]
    clean = scores["clean"]
    return f"""it lowers {", ".join(counts)} of the recordings below.
  Clean speech comes out with PESQ-wb {clean["pesq_wb"]:.2f} and SI-SDR {clean["si_sdr_db"]:.1f} dB.
  {scores["weak_spots"][0].upper()}{scores["weak_spots"][1:]}.
  It sees nothing above {card["sample_rate"] // 2000} kHz, and has learnt nothing of music and singing."""


if __name__ == "__main__":
    main()
