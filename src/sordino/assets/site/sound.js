// Sound files in and out. WAV at the student's rate is read to the very sample; all else is decoded, and brought to the
// student's rate, by the browser.

/** An error that the page shows: one sentence. */
export class Mistake extends Error {}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const CHUNKS = ["LIST", "id3 ", "bext", "cue ", "fact", "PEAK", "iXML", "smpl"]; // what may follow the sound
// Lengths, from and to, that mean unknown: a recorder died, or wrote into a pipe.
const PLACEHOLDERS = [[0, 0], [0x7fff0000, 0x80010000], [0xffff0000, 0xffffffff]];

/** A file as float32 channels at the student's rate; what cannot be used is a Mistake. */
export async function read(file, student) {
  const [size, most] = [Math.round(file.size / 1e6), student.largest_mb];
  if (size > most) throw new Mistake(`${file.name}: has ${size} MB; the page takes ${most} at most.`);
  const content = await file.arrayBuffer();
  const wav = readWav(content, file.name);
  const exact = wav && wav.rate === student.sample_rate;
  const channels = exact ? wav.channels : await decoded(file.name, content, student.sample_rate);
  const seconds = channels[0].length / student.sample_rate;
  if (!seconds) throw new Mistake(`${file.name}: holds no sound.`);
  if (seconds > student.longest_s) {
    const [found, longest] = [seconds, student.longest_s].map((value) => (value / 60).toFixed(1));
    throw new Mistake(`${file.name}: lasts ${found} minutes; the page takes ${longest} at most.`);
  }
  if (!channels.every((samples) => samples.every(Number.isFinite))) {
    throw new Mistake(`${file.name}: holds samples that are no numbers.`);
  }
  return channels;
}

async function decoded(name, content, rate) {
  try {
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
    return Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
  } catch {
    throw new Mistake(`${name}: cannot be read as audio by this browser.`);
  }
}

/** {rate, channels} of a WAV file of whole numbers or floats; null for any other file. One cut short is a Mistake. */
function readWav(content, name) {
  const view = new DataView(content);
  const word = (at) => String.fromCharCode(...new Uint8Array(content, at, 4));
  if (content.byteLength < 12 || word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  let form = null;
  for (let at = 12; at + 8 <= content.byteLength; ) {
    const [kind, size, start] = [word(at), view.getUint32(at + 4, true), at + 8];
    if (kind === "fmt " && start + 16 <= content.byteLength) form = format(view, start, size);
    if (kind === "data") {
      const there = content.byteLength - start;
      const empty = there >= 4 && CHUNKS.includes(word(start));
      const stated = size === 0 && !empty ? there : size;
      if (form && stated > there && !isPlaceholder(stated)) {
        const [found, promised] = [there, stated].map((bytes) => (bytes / form.bytesPerSecond).toFixed(1));
        throw new Mistake(`${name}: ends after ${found} s where its header promises ${promised} s. Was it cut short?`);
      }
      return form && samples(view, start, Math.min(stated, there), form);
    }
    at = start + size + (size % 2);
  }
  return null;
}

function isPlaceholder(size) {
  return PLACEHOLDERS.some(([first, last]) => first <= size && size <= last);
}

function format(view, start, size) {
  const [tag, count, bits] = [0, 2, 14].map((place) => view.getUint16(start + place, true));
  const rate = view.getUint32(start + 4, true);
  const sub = tag === EXTENSIBLE && size >= 26 ? view.getUint16(start + 24, true) : tag;
  const value = {
    [`${PCM} 16`]: (at) => view.getInt16(at, true) / 2 ** 15,
    [`${PCM} 24`]: (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 2 ** 23,
    [`${PCM} 32`]: (at) => view.getInt32(at, true) / 2 ** 31,
    [`${FLOAT} 32`]: (at) => view.getFloat32(at, true),
    [`${FLOAT} 64`]: (at) => view.getFloat64(at, true),
  }[`${sub} ${bits}`];
  const step = bits / 8;
  return value && count && rate ? { count, rate, step, value, bytesPerSecond: rate * count * step } : null;
}

function samples(view, start, size, { count, rate, step, value }) {
  const length = Math.floor(size / (step * count));
  const channels = Array.from({ length: count }, () => new Float32Array(length));
  for (let i = 0, at = start; i < length; i += 1) {
    for (let channel = 0; channel < count; channel += 1, at += step) channels[channel][i] = value(at);
  }
  return { rate, channels };
}

/** Channels as a WAV file of 16 bits, each sample times a gain. */
export function toWav(channels, rate, gain) {
  const [count, length] = [channels.length, channels[0].length];
  const view = new DataView(new ArrayBuffer(44 + 2 * count * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  [PCM, count].forEach((number, i) => view.setUint16(20 + 2 * i, number, true));
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * count * 2, true);
  [count * 2, 16].forEach((number, i) => view.setUint16(32 + 2 * i, number, true));
  text(36, "data");
  view.setUint32(40, 2 * count * length, true);
  for (let i = 0, at = 44; i < length; i += 1) {
    for (let channel = 0; channel < count; channel += 1, at += 2) {
      const whole = Math.round(channels[channel][i] * gain * 2 ** 15);
      view.setInt16(at, Math.max(-(2 ** 15), Math.min(2 ** 15 - 1, whole)), true);
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

/** The largest size of a sample. */
export const peak = (channels) =>
  channels.reduce((most, samples) => samples.reduce((top, value) => Math.max(top, Math.abs(value)), most), 0);
