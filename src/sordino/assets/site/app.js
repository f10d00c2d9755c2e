// What the page does: a file or the microphone in, the student's estimate out, figures of a live stream.
import { Mistake, peak, read, toWav } from "./sound.js";

const POINTS = 300; // of a picture of a wave, across
const LISTENING = "You hear the microphone, enhanced.";
const at = (name) => document.getElementById(name);

let worker;
let student;
let live = null; // the microphone, while it runs
let busy = true;
let lost = ""; // why the student could not be loaded
let addresses = []; // of sounds on the page
let requests = 0; // made of the worker so far
const asked = new Map(); // number of a request to who waits for its answer
let focused = null; // what had the keyboard before it was disabled

function ask(verb, given = {}, moved = []) {
  requests += 1;
  const number = requests;
  return new Promise((resolve, reject) => {
    asked.set(number, { resolve, reject });
    worker.postMessage({ number, verb, ...given }, moved);
  }).finally(() => asked.delete(number));
}

const ON_MESSAGE = {
  answer: ({ number, value }) => asked.get(number)?.resolve(value),
  failed: ({ number, reason }) => asked.get(number)?.reject(new Error(reason)),
  blockFailed: ({ reason }) => live && show("", `The student failed: ${reason}.`), // nobody waits for a live block
  progress: ({ done }) => (at("progress").value = done),
  times: ({ mean, most }) => {
    at("load").textContent = `${Math.round((100 * mean * student.sample_rate) / (1000 * student.stream.hop))} %`;
    at("time").textContent = `${mean.toFixed(1)} ms, at most ${most.toFixed(1)}`;
  },
};

function show(status, problem = "") {
  at("status").textContent = status;
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

/** Do one thing at a time; errors are shown in one sentence. */
async function work(status, job) {
  if (busy) return;
  setBusy(true);
  show(status);
  try {
    show(await job());
  } catch (error) {
    const sentence = error instanceof Mistake ? error.message : `This browser could not do it: ${error.message}.`;
    show("", sentence);
  }
  setBusy(false);
}

function setBusy(value) {
  busy = value;
  if (value) focused = document.activeElement;
  at("file").disabled = value || live !== null;
  at("live").disabled = value || !student.stream;
  at("progress").hidden = !value || live !== null;
  at("progress").value = 0;
  if (!value && focused && document.activeElement === document.body) focused.focus();
}

function enhance(file) {
  if (!file) return;
  if (!student && lost) {
    show("", lost);
    return;
  }
  if (live || busy) {
    const hint = live ? "stop the microphone first" : "wait until this is done";
    show(at("status").textContent, `${file.name}: ${hint}.`);
    return;
  }
  work(`Enhancing ${file.name}.`, async () => {
    const channels = await read(file, student);
    const began = performance.now();
    const estimates = await ask("enhance", { channels });
    const took = (performance.now() - began) / 1000;
    const seconds = channels[0].length / student.sample_rate;
    present(channels, estimates, file.name.replace(/\.[^.]*$/, ""));
    const load = Math.round((100 * took) / seconds);
    return `Done: ${seconds.toFixed(1)} s of sound in ${took.toFixed(1)} s, a load of ${load} %.`;
  });
}

/** Both versions under one player, turned down alike where one would be clipped. */
function present(noisy, enhanced, name) {
  const part = at("player").content.cloneNode(true);
  const gain = 1 / Math.max(1, peak(noisy), peak(enhanced));
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [noisy, enhanced].map((channels) => URL.createObjectURL(toWav(channels, student.sample_rate, gain)));
  part.querySelectorAll("figure").forEach((figure, index) => {
    const sound = figure.querySelector("audio");
    sound.before(wave([noisy, enhanced][index][0], gain));
    sound.src = addresses[index];
  });
  const link = part.querySelector(".download");
  [link.href, link.download] = [addresses[1], `${name}-enhanced.wav`];
  link.textContent = `Download ${link.download}`;
  at("result").replaceChildren(part);
  at("result").hidden = false;
}

/** How far the samples reach, over time. */
function wave(samples, gain) {
  const path = Array.from({ length: POINTS }, (_, x) => {
    const [from, to] = [x, x + 1].map((edge) => Math.floor((edge * samples.length) / POINTS));
    const reach = gain * peak([samples.subarray(from, Math.max(to, from + 1))]);
    return `M${x} ${50 - 50 * reach}V${50 + 50 * reach}`;
  });
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", `0 0 ${POINTS} 100`);
  picture.setAttribute("class", "wave");
  picture.setAttribute("aria-hidden", "true");
  picture.innerHTML = `<path d="${path.join("")}" stroke="currentColor"/>`;
  return picture;
}

async function startLive() {
  if (!navigator.mediaDevices) throw new Mistake("The microphone works over HTTPS or on this machine only.");
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const sound = await navigator.mediaDevices.getUserMedia({ audio: plain }).catch(() => null);
  if (!sound) return "The microphone is not running."; // microphone.js says why
  live = { sound };
  try {
    live.context = new AudioContext({ sampleRate: student.sample_rate, latencyHint: "interactive" });
    await connect(sound, live.context);
  } catch (error) {
    close();
    if (error.name !== "NotSupportedError") throw error;
    throw new Mistake(`This browser gives no microphone at ${student.sample_rate} Hz.`);
  }
  const { hop, delay, slack } = student.stream;
  const seconds = (hop + slack + delay) / student.sample_rate + live.context.baseLatency;
  at("latency").textContent = `${Math.round(1000 * seconds)} ms`;
  at("dropped").textContent = "0";
  at("figures").hidden = false;
  at("live").textContent = "Stop the microphone";
  watch(sound, live.context);
  return LISTENING;
}

/** Notice a microphone that is unplugged, and a browser that pauses the sound, as for a call on a phone. */
function watch(sound, context) {
  const lost = async () => `The microphone is gone. ${await stopLive()}`;
  sound.getAudioTracks()[0].addEventListener("ended", () => live && live.sound === sound && work("Stopping.", lost));
  context.addEventListener("statechange", () => {
    if (!live || live.context !== context) return;
    if (context.state === "running") show(LISTENING);
    else show("", "The browser has paused the sound. Stop the microphone, and start it again.");
  });
}

async function connect(sound, context) {
  const { hop, slack } = student.stream;
  await context.audioWorklet.addModule("capture.js");
  const mono = { outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit" };
  live.node = new AudioWorkletNode(context, "capture", { ...mono, processorOptions: { hop, slack } });
  live.node.port.onmessage = ({ data }) => (at("dropped").textContent = String(data));
  context.createMediaStreamSource(sound).connect(live.node).connect(context.destination);
  // Blocks go from the sound's thread to the worker and back; what this page is doing does not hold them up.
  const { port1, port2 } = new MessageChannel();
  await ask("start", { port: port1 }, [port1]);
  live.node.port.postMessage(port2, [port2]);
  await context.resume();
}

function close() {
  live.sound.getTracks().forEach((track) => track.stop());
  if (live.node) live.node.port.postMessage(null);
  if (live.context) live.context.close();
  live = null;
  at("live").textContent = "Start the microphone";
}

async function stopLive() {
  close();
  const [noisy, enhanced] = await ask("stop");
  if (!noisy.length) return "Nothing was heard.";
  present([noisy], [enhanced], "microphone");
  return "Stopped. The last minute can be heard again below.";
}

/** Keep the page in the browser; where that is not offered, it works with its server alone. */
async function keepOffline() {
  if (!navigator.serviceWorker) return "";
  try {
    const registration = await navigator.serviceWorker.register("service.js");
    return (await activated(registration)) ? "Kept in this browser: works offline." : "";
  } catch {
    return "";
  }
}

/** Whether a service worker is active, once that is known: one whose files cannot all be kept never will be. */
function activated(registration) {
  if (registration.active) return true;
  const worker = registration.installing || registration.waiting;
  if (!worker) return false;
  return new Promise((settle) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") settle(true);
      if (worker.state === "redundant") settle(false);
    });
  });
}

function listen() {
  at("file").addEventListener("change", ({ target }) => {
    enhance(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  // Wherever it is dropped: the browser would else leave the page for the file.
  ["dragover", "dragleave", "drop"].forEach((kind) =>
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") enhance(event.dataTransfer.files[0]);
    }),
  );
  at("live").addEventListener("click", () => (live ? work("Stopping.", stopLive) : work("Starting.", startLive)));
}

async function begin() {
  // First kept, then loaded: so that everything is fetched once.
  at("offline").textContent = await keepOffline();
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => ON_MESSAGE[data.kind](data);
  worker.onerror = (event) => {
    const error = new Error(event.message || "a script cannot be loaded");
    asked.forEach(({ reject }) => reject(error));
  };
  try {
    student = await ask("load");
  } catch (error) {
    lost = `The student cannot be loaded: ${error.message}.`;
    show("", lost);
    return;
  }
  if (!student.stream) at("live-note").textContent = "This student needs the whole recording and cannot run live.";
  setBusy(false);
  show("Ready.");
}

listen();
begin();
