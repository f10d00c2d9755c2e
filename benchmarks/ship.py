"""Put the student of a finished run into the package: ONNX, and cards for programs (JSON) and people (Markdown).

    python benchmarks/ship.py runs/real/mvat manner-s-1.5gf --summary "..." --commit 1234567 --default

For runs of benchmarks/real, whose data DATA describes. The run must have been reported (sotto report RUN), which
scores it and the noisy input; the cards carry these figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from sotto import models, recipes
from sotto.evaluate.cost import paper_flops
from sotto.evaluate.score import Scores
from sotto.files import write_json, write_text

MODELS = Path(__file__).resolve().parents[1] / "src" / "sotto" / "assets" / "models"
LICENCE = "MIT"
DATA = (
    "Clean speech, 98 minutes: LibriSpeech and VCTK (CC BY 4.0), speechocean762 and CMU ARCTIC (free for any use), "
    "Common Voice Upper Sorbian (CC0 1.0), Zalozba (MIT). Noise, 47 minutes: ESC-10 (CC BY 3.0 / CC0), Noisekun, "
    "Blanket, Berlin Noise, Speech Commands background (CC BY), Picovoice, SpeechBrain (Apache 2.0), Mycroft and "
    "DeepFilterNet samples (public domain / CC0). Nothing licensed for non-commercial use only."
)
HEARD = "two hours and a half of sound"
SHOWN = {
    "pesq_wb": "PESQ-wb",
    "stoi": "STOI",
    "csig": "CSIG",
    "cbak": "CBAK",
    "covl": "COVL",
    "si_sdr_db": "SI-SDR, dB",
}


def main() -> None:
    """Read the words typed and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished, scored run")
    parser.add_argument("name", help="name of the shipped student")
    parser.add_argument("--summary", required=True, help="one line for sotto models")
    parser.add_argument("--commit", required=True, help="the commit that trained it")
    parser.add_argument("--default", action="store_true", help="make it the model that sotto enhance takes")
    given = parser.parse_args()
    checkpoint = given.run / "best.safetensors"
    network, header = models.load(checkpoint), models.read_header(checkpoint)
    scores = Scores.from_json(given.run / recipes.SCORES)
    noisy = Scores.from_json(given.run / "noisy.json").means()
    card = {
        "name": given.name,
        "default": given.default,
        "summary": given.summary,
        "network": network.name,
        "arguments": network.arguments,
        "parameters": models.count_parameters(network),
        "flops_paper": paper_flops(network),
        "sample_rate": network.sample_rate,
        "causal": network.streams,
        "latency_s": network.latency / network.sample_rate if network.streams else None,
        "training": {"steps": header["about"]["step"], "commit": given.commit, "recipe": header["about"]["recipe"]},
        "data": DATA,
        "scores": {"test": "30 pairs of the VoiceBank-DEMAND test set", "model": scores.means(), "noisy": noisy},
        "licence": LICENCE,
    }
    recipes.export(checkpoint, MODELS / f"{given.name}.onnx", LICENCE)
    write_json(MODELS / f"{given.name}.json", card)
    write_text(MODELS / f"{given.name}.md", page(card))


def page(card: dict) -> str:
    """The card for people."""
    scores = card["scores"]
    rows = "".join(
        f"| {label} | {scores['noisy'][column]:.3f} | {scores['model'][column]:.3f} |\n"
        for column, label in SHOWN.items()
        if column in scores["model"]
    )
    hearing = (
        "Causal: it can answer block by block."
        if card["causal"]
        else "Not causal: it hears the whole recording before it answers."
    )
    recipe = yaml.safe_dump(json.loads(json.dumps(card["training"]["recipe"])), sort_keys=False)
    return f"""# {card["name"]}

{card["summary"]}

* **Network:** {card["network"]} {card["arguments"]}, {card["parameters"]:,} parameters,
  {card["flops_paper"] / 1e9:.2f} GFLOPs on 4 s as the MV-AT paper counts them. 16 kHz.
  {hearing}
* **Training:** {card["training"]["steps"]} steps of the recipe below, at commit {card["training"]["commit"]}.
* **Data:** {card["data"]}
* **Licence of the weights:** {card["licence"]}.
* **Meant for:** trying sotto out. It was trained for about an hour on one processor core and on {HEARD}:
  it takes noise down, and blurs the speech a little (see STOI). A network trained for days does better.

Mean over {scores["test"]}. They were used for nothing else: which checkpoint and which student
ships was decided by PESQ on held-out training speakers and noises.

| | noisy input | {card["name"]} |
|---|---|---|
{rows}
```yaml
{recipe}```
"""


if __name__ == "__main__":
    main()
