// Remove the noise from a stream, hop by hop, with an exported student's graph for streams and onnxruntime alone.
//
//   npm install onnxruntime-node
//   ffmpeg -i noisy.wav -f f32le -ar 16000 -ac 1 - | node stream.js student.stream.onnx | aplay -f FLOAT_LE -r 16000
//
// Samples are raw float32 of one channel, at the rate that the graph's metadata states.
const { readFileSync } = require("node:fs");
const ort = require("onnxruntime-node"); // or onnxruntime-web, which has the same interface

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array };

/** The metadata of a model: onnxruntime does not give it to JavaScript. In protobuf they are field 14 of the file, each
 * a message of key and value; every other field at the top is a number or has its length in front. */
function metadata(bytes) {
  const found = {};
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const text = () => {
    at += 1; // the tag
    const length = number();
    return bytes.toString("utf8", at, (at += length));
  };
  while (at < bytes.length) {
    const tag = number();
    const value = number(); // a number, or the length of what follows
    if (tag === ((14 << 3) | 2)) found[text()] = text();
    else if ((tag & 7) === 2) at += value;
  }
  return found;
}

async function main(path) {
  const file = readFileSync(path);
  const session = await ort.InferenceSession.create(file, {
    intraOpNumThreads: 1, // fastest for a hop
    freeDimensionOverrides: { hops: 1 },
  });
  const { delay, state } = metadata(file);
  const [{ name, shape }, ...memory] = session.inputMetadata;
  const feeds = {};
  for (const { name, type, shape } of memory) {
    feeds[name] = new ort.Tensor(type, new ARRAYS[type](shape.reduce((a, b) => a * b)), shape);
  }
  const hop = shape[1];
  let [fed, written, late] = [0, 0, Number(delay)];
  const step = async (block) => {
    feeds[name] = new ort.Tensor("float32", block, [1, hop]);
    const results = await session.run(feeds);
    for (const [input, output] of Object.entries(JSON.parse(state))) feeds[input] = results[output];
    const skipped = Math.min(late, hop); // the first samples are not part of the estimate
    const ready = results.estimate.data.slice(skipped, skipped + Math.min(hop - skipped, fed - written));
    late -= skipped;
    written += ready.length;
    process.stdout.write(Buffer.from(ready.buffer));
  };
  let kept = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    kept = Buffer.concat([kept, chunk]);
    for (; kept.length >= 4 * hop; kept = kept.subarray(4 * hop)) {
      fed += hop;
      await step(new Float32Array(new Uint8Array(kept.subarray(0, 4 * hop)).buffer));
    }
  }
  // After the end, zeros are fed until as many samples have come out as went in.
  const rest = Math.floor(kept.length / 4);
  const last = new Uint8Array(4 * hop);
  last.set(kept.subarray(0, 4 * rest));
  fed += rest;
  for (let block = new Float32Array(last.buffer); written < fed; block = new Float32Array(hop)) await step(block);
}

main(process.argv[2]);
