"""The scripts of a student's page: in node, without a browser, and beside what the program does with the same files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sordino.app.site.build import SITE
from sordino.audio import wav

RUNTIME = """
export const env = { wasm: {} };
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, { type, data, dims }); }
}
// A student that returns its input two hops later, and fails on a block that begins with 99.
export class InferenceSession {
  inputNames = ["noisy", "state.0"];
  outputNames = ["estimate", "next.0"];
  static async create() { return new InferenceSession(); }
  async run({ noisy, "state.0": state }) {
    await new Promise((done) => setTimeout(done, 1));
    if (noisy.data[0] === 99) throw new Error("no memory");
    const line = Float32Array.from([...state.data, ...noisy.data]);
    const part = (from, to, dims) => new Tensor("float32", line.slice(from, to), dims);
    const size = noisy.data.length;
    return { estimate: part(0, size, noisy.dims), "next.0": part(size, undefined, state.dims) };
  }
}
"""
STUDENT = {
    "sample_rate": 16000,
    "graph": "student.onnx",
    "stream": {"hop": 4, "delay": 8, "slack": 8, "memory": [{"shape": [1, 8], "type": "float32"}], "at_once": 100},
}
LIVE = """
const messages = [];
globalThis.self = globalThis;
globalThis.postMessage = (message) => message.kind !== "times" && messages.push(message);
const student = JSON.parse(process.argv[2]);
globalThis.fetch = async () => ({ ok: true, json: async () => student, arrayBuffer: async () => new ArrayBuffer(8) });
await import("./worker.js");

const seconds = (count) => new Promise((done) => setTimeout(done, 1000 * count));
async function answer(number) {
  for (;;) {
    const found = messages.find((message) => message.number === number);
    if (found) return found;
    await seconds(0.001);
  }
}
const hop = (first) => Float32Array.from({ length: 4 }, (_, index) => first + index);
const { port1, port2 } = new MessageChannel();
let back = 0;
port2.on("message", () => (back += 1));
self.onmessage({ data: { number: 1, verb: "load" } });
await answer(1);
self.onmessage({ data: { number: 2, verb: "start", port: port1 } });
await answer(2);
for (let index = 0; index < 5; index += 1) port2.postMessage({ index, noisy: hop(1 + 4 * index) });
while (back < 5) await seconds(0.001);
self.onmessage({ data: { number: 3, verb: "wrong" } });
await answer(3);
LATE
console.log(JSON.stringify({ stopped: (await answer(4)).value.map((sound) => [...sound]), messages }));
process.exit(0);
"""
PAGE = """
// A document whose elements have no looks, and a browser whose microphone is silent.
const element = () => ({
  listeners: {},
  addEventListener(kind, listener) { this.listeners[kind] = listener; },
  focus() {},
});
const elements = {};
globalThis.document = { ...element(), getElementById: (name) => (elements[name] ??= element()) };
const track = { ...element(), stop() {} };
const sound = { getTracks: () => [track], getAudioTracks: () => [track] };
const browser = { mediaDevices: { getUserMedia: async () => sound } };
Object.defineProperty(globalThis, "navigator", { value: browser });
const connected = { connect: () => connected };
globalThis.AudioContext = class {
  state = "running";
  baseLatency = 0;
  audioWorklet = { addModule: async () => {} };
  addEventListener() {}
  createMediaStreamSource() { return connected; }
  async resume() {}
  close() {}
};
globalThis.AudioWorkletNode = class {
  port = { postMessage() {} };
};
const asked = [];
let worker;
globalThis.Worker = class {
  constructor() { worker = this; }
  postMessage(request) { asked.push(request); }
};
await import("./app.js");

const turns = async () => { for (let turn = 0; turn < 50; turn += 1) await Promise.resolve(); };
async function answer(verb, value) {
  await turns();
  const { number } = asked.findLast((request) => request.verb === verb);
  worker.onmessage({ data: { kind: "answer", number, value } });
  await turns();
}
const click = () => elements.live.listeners.click();
const said = [];
const note = () => said.push(elements.problem.textContent || elements.status.textContent);
await answer("load", JSON.parse(process.argv[2]));
note();
click();
await answer("start");
note();
worker.onmessage({ data: { kind: "blockFailed", reason: "no memory" } });
note();
click();
await turns();
worker.onmessage({ data: { kind: "blockFailed", reason: "no memory" } });
note();
await answer("stop", [new Float32Array(0), new Float32Array(0)]);
note();
console.log(JSON.stringify(said));
process.exit(0);
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scripts of the page beside a runtime that takes no time to load."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    for name in ("app.js", "sound.js", "worker.js"):
        shutil.copy(str(SITE / name), tmp_path / name)
    (tmp_path / "ort.js").write_text(RUNTIME)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def run(folder: Path, script: str) -> Any:
    (folder / "test.js").write_text(script)
    command = ["node", "test.js", json.dumps(STUDENT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_block_of_the_microphone_that_comes_after_the_stop_changes_nothing(folder: Path) -> None:
    late = """
    self.onmessage({ data: { number: 4, verb: "stop" } });
    port2.postMessage({ index: 5, noisy: hop(21) });
    """
    noisy, estimate = run(folder, LIVE.replace("LATE", late))["stopped"]
    assert noisy == estimate == list(range(1, 21))


def test_a_live_block_that_fails_answers_no_request(folder: Path) -> None:
    late = """
    port2.postMessage({ index: 5, noisy: hop(99) });
    while (messages.length < 4) await seconds(0.001);
    self.onmessage({ data: { number: 4, verb: "stop" } });
    """
    done = run(folder, LIVE.replace("LATE", late))
    assert done["stopped"] == [list(range(1, 21))] * 2
    kinds = [(message["kind"], message.get("number")) for message in done["messages"]]
    assert kinds == [("answer", 1), ("answer", 2), ("failed", 3), ("blockFailed", None), ("answer", 4)]
    assert done["messages"][3]["reason"] == "no memory"


def test_the_page_waits_for_its_own_answer_while_live_blocks_fail(folder: Path) -> None:
    assert run(folder, PAGE) == [
        "Ready.",
        "You hear the microphone, enhanced.",
        "The student failed: no memory.",
        "Stopping.",
        "Nothing was heard.",
    ]


def test_the_page_reads_wav_headers_as_the_program_does() -> None:
    script = (SITE / "sound.js").read_text("utf-8")
    after = re.search(r"const CHUNKS = (\[.*?\]);", script)
    unknown = re.search(r"const PLACEHOLDERS = (\[.*?\]);", script)
    assert after
    assert unknown
    assert tuple(name.encode() for name in json.loads(after[1])) == wav.AFTER_SOUND
    ranges = [[int(one, 0) for one in re.findall(r"\w+", pair)] for pair in re.findall(r"\[([\w, ]+)\]", unknown[1])]
    for first, last in ranges:
        assert wav.is_placeholder(first)
        assert wav.is_placeholder(last)
        assert first == 0 or not wav.is_placeholder(first - 1)
        assert last == wav.UNKNOWN or not wav.is_placeholder(last + 1)
    assert len(ranges) == 3
