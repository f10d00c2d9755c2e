"""The page in Gradio: two tabs, their elements, and where each result of the service is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.themes import Base, colors

from sordino.app.serve.blind_test import LETTERS, MOST, NEITHER, BlindTest
from sordino.app.serve.service import WITHOUT_LIMIT_DB, Left, Service, note, problem
from sordino.assets import PAGE
from sordino.errors import InputError
from sordino.report.pages import listen, parts
from sordino.types import Progress

TITLE = "sordino"
INTRODUCTION = """<h1>Hear what a denoiser does</h1>
<p>Recordings stay on this machine, and are deleted when you close the page.</p>
<p class="banner no-microphone" role="alert" hidden></p>"""
SCRIPTS = (listen.SCRIPT, *((PAGE / name).read_text("utf-8") for name in ("microphone.js", "upload.js")))
HEAD = "".join(f"<script>\n{script}</script>" for script in SCRIPTS)
STYLE = parts.PARTS + (PAGE / "serve.css").read_text("utf-8")

DARKER, LIGHTER = "*primary_700", "*primary_300"
CONTRAST = {
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_label_text_color": "*neutral_700",
    "block_label_text_color_dark": "*neutral_200",
    "block_title_text_color": "*neutral_700",
    "block_title_text_color_dark": "*neutral_200",
    "color_accent": DARKER,
    "button_primary_background_fill": DARKER,
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_dark": DARKER,
    "button_primary_background_fill_hover_dark": "*primary_800",
    "slider_color": DARKER,
    "slider_color_dark": LIGHTER,
}
"""Where Gradio's own colours are too faint to be read by all: 4.5 to 1 at least."""

JOBS = "jobs"
"""The queue of all that computes: one job at a time, so that twenty visitors do not take twenty times the memory."""


class _Page(gr.Blocks):
    """A page that reports values which it would not send itself in one sentence."""

    async def preprocess_data(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Check the values of a request as Gradio does, which else prints a traceback and may say nothing.

        Raises:
            Error: a value is wrong, or one is missing.
        """
        try:
            return await super().preprocess_data(*args, **kwargs)
        except gr.Error as error:
            raise gr.Error(error.message, print_exception=False) from error
        except ValueError as error:
            wrong = InputError("request", "values of a wrong kind or number", "those that /gradio_api/info lists")
            raise gr.Error(str(wrong), print_exception=False) from error


def theme() -> Base:
    """The fonts and colours of the reader's system; nothing is fetched for them."""
    return Base(
        primary_hue=colors.blue,
        neutral_hue=colors.slate,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(**CONTRAST)


def build(service: Service) -> gr.Blocks:
    """Build the page from its tabs."""

    def leave(request: gr.Request) -> None:
        service.sessions.leave(_session(request))
        page.state_holder.session_data.pop(_session(request), None)  # where Gradio would keep the answers

    with _Page(title=TITLE, analytics_enabled=False) as page:
        _html(INTRODUCTION)
        with gr.Tab("Enhance"):
            _enhance_tab(page, service)
        with gr.Tab("Compare"):
            _compare_tab(service)
        page.unload(leave)
    return page


def _enhance_tab(page: gr.Blocks, service: Service) -> None:
    def enhance(upload: str | None, name: str | None, limit_db: float, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        return _answer(lambda: service.enhance(_session(request), upload, name, limit_db, _steps(progress)))

    def about(name: str | None) -> str:
        return _answer(lambda: service.about(name))

    recording = _recording("Noisy recording", service)
    names = list(service.models)
    student = gr.Dropdown(names, value=names[0], label="Student", filterable=False)
    description = _html()
    limit = gr.Slider(
        0,
        WITHOUT_LIMIT_DB,
        WITHOUT_LIMIT_DB,
        step=1,
        label="Strength in dB",
        info=f"By how much the noise is lowered at most; {WITHOUT_LIMIT_DB:g} is without limit.",
    )
    start = gr.Button("Enhance", variant="primary")
    result = _html()
    for happening in (page.load, student.change):
        happening(about, student, description, concurrency_id=JOBS, show_progress="hidden")
    start.click(enhance, [recording, student, limit], result, concurrency_id=JOBS)


def _compare_tab(service: Service) -> None:
    names = list(service.models)
    blind_test = gr.State(BlindTest())
    noisy = _recording("Noisy recording", service)
    clean = _recording("Clean reference, if there is one", service)
    chosen = gr.CheckboxGroup(names, value=names[:MOST], label=f"Models, up to {MOST}")
    blind = gr.Checkbox(value=True, label="Blind: shuffle the models and hide their names")
    start = gr.Button("Compare", variant="primary")
    players = _html()
    with gr.Group(visible=False) as ballot:
        preferred = gr.Radio([], label="Which one do you prefer?")
        vote = gr.Button("Vote", variant="primary")
        show = gr.Button("Show the tally")
    answer = _html()

    def compare(one, other, names, blind, before, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        try:
            result, after = service.compare(_session(request), (one, other), names, blind, before, _steps(progress))
        except (InputError, Left) as error:
            return _shown(error), before, gr.skip(), gr.skip(), ""
        choices = [*list(LETTERS)[: len(names)], NEITHER]
        return result, after, gr.update(choices=choices, value=None), gr.update(visible=blind), ""

    def count(letter: str | None, before: BlindTest) -> tuple[BlindTest, str]:
        try:
            after = before.vote(letter)
        except InputError as error:
            return before, problem(error)
        counted = f"Counted: {len(after.votes)} so far. Press Compare for another round, or show the tally."
        return after, note(counted)

    inputs = [noisy, clean, chosen, blind, blind_test]
    start.click(compare, inputs, [players, blind_test, preferred, ballot, answer], concurrency_id=JOBS)
    vote.click(count, [preferred, blind_test], [blind_test, answer])
    show.click(lambda blind_test: _answer(lambda: service.tally(blind_test)), blind_test, answer)


def _recording(label: str, service: Service) -> gr.Audio:
    """Build the input for a dropped or recorded file, and below it the line for its description or its problem."""

    def admit(upload: str | None, request: gr.Request) -> str:
        return _answer(lambda: service.admit(_session(request), upload))

    recording = gr.Audio(sources=["upload", "microphone"], type="filepath", label=label, editable=False, buttons=[])
    result = _html()
    recording.change(admit, recording, result, concurrency_limit=None, show_progress="hidden")
    return recording


def _html(content: str = "") -> gr.HTML:
    return gr.HTML(content, elem_classes="sordino", apply_default_css=False, js_on_load=None)


def _steps(bar: Any) -> Progress:
    """Show progress in Gradio's bar."""
    return lambda task, done, total, _numbers: bar(done / total, desc=task)


def _session(request: gr.Request) -> str:
    return request.session_hash or ""


def _answer(work: Callable[[], str]) -> str:
    try:
        return work()
    except (InputError, Left) as error:
        return _shown(error)


def _shown(error: InputError | Left) -> str:
    """Show a mistake on the page; a visitor who has left gets nothing."""
    return problem(error) if isinstance(error, InputError) else ""
