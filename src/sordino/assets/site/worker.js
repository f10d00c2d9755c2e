// The student on onnxruntime-web, beside the page: whole recordings as sordino.enhance does them, and streams hop by hop
// as sordino.Streamer does. One thread, as servers of files do not send the headers that browsers ask for more.
import * as ort from "./ort.js";

const KEPT_S = 60; // of a stream, to be heard again
const REPORT_MS = 250;
const REPORT_HOPS = 100;
const KINDS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array };

let student;
let graph; // its bytes
let session; // of recordings, or of the hops of a stream one by one
let many = null; // of many hops at once, when a recording asks for it
let stream = null; // the one that runs

async function load() {
  const get = async (name) => {
    const answer = await fetch(name);
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer;
  };
  student = await (await get("student.json")).json();
  ort.env.wasm.numThreads = 1;
  // Handed over as bytes, it works with servers that do not know the type of the file.
  ort.env.wasm.wasmBinary = await (await get("ort.wasm")).arrayBuffer();
  graph = new Uint8Array(await (await get(student.graph)).arrayBuffer());
  // With the number of hops fixed, no shape has to be worked out from hop to hop.
  session = await ort.InferenceSession.create(graph, student.stream ? { freeDimensionOverrides: { hops: 1 } } : {});
  if (student.stream) await step(new Float32Array(student.stream.hop), silence()); // the first pass is slow
  return student;
}

async function enhance({ channels }) {
  const estimates = [];
  for (const [index, noisy] of channels.entries()) {
    const report = (done) => postMessage({ kind: "progress", done: (index + done / noisy.length) / channels.length });
    estimates.push(await (student.stream ? carried(noisy, report) : windows(noisy, report)));
  }
  return estimates;
}

/** One channel, the state carried on, as sordino.inference.pipeline.EngineProcess does. */
async function carried(noisy, report) {
  const { hop, delay, at_once } = student.stream;
  const whole = Math.ceil((noisy.length + delay) / hop) * hop; // with the silence that pushes out its end
  const estimate = new Float32Array(whole);
  let state = silence();
  for (let at = 0, size; at < whole; at += size) {
    size = Math.min(at_once * hop, whole - at);
    const block = new Float32Array(size);
    block.set(noisy.subarray(at, at + size));
    const [part, after] = await step(block, state);
    estimate.set(part, at);
    state = after;
    if (at % (REPORT_HOPS * hop) === 0) report(at);
  }
  return estimate.slice(delay, delay + noisy.length);
}

/** One channel window by window, neighbours cross-faded, as sordino.inference.windows.Windows does. */
async function windows(noisy, report) {
  const { window, context, fade } = student;
  const estimate = new Float32Array(noisy.length);
  let done = 0; // samples of the estimate that are final
  for (let start = 0, last = false; !last; start = done - context) {
    last = noisy.length - start <= window;
    if (last) start = Math.max(noisy.length - window, 0);
    const part = (await whole(noisy.subarray(start, start + window))).subarray(done - start);
    part.forEach((value, i) => {
      const before = estimate[done + i]; // what the window before made of it
      const weight = done && i < fade ? (i + 0.5) / fade : 1;
      estimate[done + i] = before + weight * (value - before);
    });
    done += part.length - context - fade;
    report(done);
  }
  return estimate;
}

async function whole(noisy) {
  const padded = new Float32Array(Math.max(noisy.length, student.minimum));
  padded.set(noisy);
  const [found] = await run([new ort.Tensor("float32", padded, [1, padded.length])]);
  const estimate = new Float32Array(noisy.length);
  estimate.set(found.data.subarray(0, noisy.length));
  return estimate;
}

/** The memory of silence, which is zeros. */
function silence() {
  return student.stream.memory.map(({ shape, type }) => {
    return new ort.Tensor(type, new KINDS[type](shape.reduce((size, axis) => size * axis, 1)), shape);
  });
}

/** Whole hops, one after the other. */
async function step(noisy, state) {
  const { hop } = student.stream;
  if (noisy.length > hop) many ??= await ort.InferenceSession.create(graph);
  const tensors = [new ort.Tensor("float32", noisy, [noisy.length / hop, hop]), ...state];
  const [estimate, ...after] = await run(tensors, noisy.length > hop ? many : session);
  return [Float32Array.from(estimate.data), after];
}

/** Tensors in and out, in the order of the graph. */
async function run(tensors, by = session) {
  const found = await by.run(Object.fromEntries(by.inputNames.map((name, i) => [name, tensors[i]])));
  return by.outputNames.map((name) => found[name]);
}

/** Blocks that come through a port are enhanced in their order, and go back through it. */
async function start({ port }) {
  const now = { port, state: silence(), inputs: [], outputs: [], times: [], reported: performance.now() };
  now.last = Promise.resolve();
  stream = now;
  port.onmessage = ({ data }) => {
    now.last = now.last.then(() => block(now, data)).catch((error) => postMessage({ kind: "blockFailed", ...why(error) }));
  };
}

async function block(now, { index, noisy }) {
  const began = performance.now();
  const [estimate, after] = await step(noisy, now.state);
  now.state = after;
  now.times.push(performance.now() - began);
  keep(now, noisy, estimate.slice());
  now.port.postMessage({ index, estimate }, [estimate.buffer]);
  if (performance.now() - now.reported < REPORT_MS) return;
  const mean = now.times.reduce((sum, time) => sum + time, 0) / now.times.length;
  postMessage({ kind: "times", mean, most: Math.max(...now.times) });
  now.times = [];
  now.reported = performance.now();
}

function keep(now, noisy, estimate) {
  now.inputs.push(noisy);
  now.outputs.push(estimate);
  const full = now.inputs.length * noisy.length > KEPT_S * student.sample_rate;
  if (full) [now.inputs, now.outputs].forEach((all) => all.shift());
}

/** End the stream; silence behind it pushes out the estimate of its end. */
async function stop() {
  const now = stream;
  stream = null;
  // The microphone's thread may post one more block, which would come between the last one and the silence.
  now.port.onmessage = null;
  now.port.close();
  await now.last;
  const { hop, delay } = student.stream;
  const rest = [];
  for (let pushed = 0; pushed < delay; pushed += hop) {
    const [estimate, after] = await step(new Float32Array(hop), now.state);
    now.state = after;
    rest.push(estimate);
  }
  const input = joined(now.inputs);
  return [input, joined([...now.outputs, ...rest]).slice(delay, delay + input.length)];
}

function joined(parts) {
  const all = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  parts.forEach((part) => {
    all.set(part, at);
    at += part.length;
  });
  return all;
}

const why = (error) => ({ reason: String(error.message || error) });
const VERBS = { load, enhance, start, stop };

self.onmessage = async ({ data: { number, verb, ...given } }) => {
  try {
    postMessage({ kind: "answer", number, value: await VERBS[verb](given) });
  } catch (error) {
    postMessage({ kind: "failed", number, ...why(error) });
  }
};
