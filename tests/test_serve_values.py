"""Requests to the listening page that its own elements would not send: each is answered in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import soundfile

from helpers.noise import hiss

if TYPE_CHECKING:
    from gradio_client import Client

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="needs sordino[web]")
KIND = "request: values of a wrong kind or number; expected those that /gradio_api/info lists"
CHOICE = "is not in the list of choices"
NONE = "student: none is chosen; expected one of dualpath-24"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    from gradio_client import Client

    from sordino.app.serve import serving

    with serving() as address:
        client = Client(address, verbose=False, analytics_enabled=False, ssl_verify=False)
        yield client
        client.close()


def answer(client: Client, *values: Any, name: str) -> str:
    """What the page says, be it as an answer or as an error."""
    from gradio_client.exceptions import AppError

    try:
        return client.predict(*values, api_name=name)
    except AppError as error:
        return str(error)


@pytest.mark.parametrize(
    ("student", "strength", "message"),
    [
        ("unet-24", "x", KIND),
        ("unet-24", None, KIND),
        ("unet-24", [1], KIND),
        ("unet-24", -5, "Value -5 is less than minimum value 0"),
        ("none", 60, CHOICE),
        ({"a": 1}, 60, CHOICE),
        (None, 60, NONE),
    ],
)
def test_a_wrong_value_is_answered_in_a_sentence_and_printed_nowhere(
    client: Client, student: Any, strength: Any, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from gradio_client import handle_file

    soundfile.write(tmp_path / "noisy.wav", hiss(0.2), 16000)
    recording = handle_file(str(tmp_path / "noisy.wav"))
    client.predict(recording, api_name="/admit")
    assert message in answer(client, recording, student, strength, name="/enhance")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("/about", [None], NONE),
        ("/about", ["none"], CHOICE),
        ("/enhance", ["no file", "unet-24", 60], KIND),
        ("/compare", [None, None, None, True], KIND),
        ("/compare", [None, None, 5, True], KIND),
    ],
)
def test_so_is_one_without_a_recording(
    client: Client, name: str, values: list[Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert message in answer(client, *values, name=name)
    assert capfd.readouterr().err == ""
