// The live microphone, in the thread of the sound: blocks go to the worker, and their estimates are played a fixed time
// later. A block whose estimate is not there by then is silent, and counts as dropped.
"use strict";

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { hop, slack } }) {
    super();
    Object.assign(this, { hop, lead: hop + slack, clock: 0, playing: -1, dropped: 0, waiting: 0 });
    // More blocks than are due within the lead would come too late: they are not even sent, and the worker catches up.
    this.most = Math.ceil(this.lead / hop);
    this.block = new Float32Array(hop);
    this.estimates = new Map();
    this.current = undefined;
    this.open = true;
    this.port.onmessage = ({ data }) => (data ? this.meet(data) : (this.open = false));
  }

  meet(worker) {
    this.worker = worker;
    worker.onmessage = ({ data: { index, estimate } }) => {
      this.waiting -= 1;
      if (index > this.playing) this.estimates.set(index, estimate);
    };
  }

  process([input], [output]) {
    if (!this.worker) return this.open;
    const [recorded] = input; // none while the microphone gives nothing
    const [played] = output;
    for (let i = 0; i < played.length; i += 1) {
      this.record(recorded ? recorded[i] : 0);
      played[i] = this.nextSample();
      this.clock += 1;
    }
    return this.open;
  }

  record(sample) {
    const place = this.clock % this.hop;
    this.block[place] = sample;
    if (place < this.hop - 1 || this.waiting >= this.most) return;
    const noisy = this.block;
    this.worker.postMessage({ index: (this.clock + 1) / this.hop - 1, noisy }, [noisy.buffer]);
    this.waiting += 1;
    this.block = new Float32Array(this.hop);
  }

  nextSample() {
    const position = this.clock - this.lead;
    if (position < 0) return 0;
    const place = position % this.hop;
    if (place === 0) this.turn(position / this.hop);
    return this.current ? this.current[place] : 0;
  }

  turn(index) {
    this.playing = index;
    this.current = this.estimates.get(index);
    this.estimates.delete(index);
    if (this.current) return;
    this.dropped += 1;
    this.port.postMessage(this.dropped);
  }
}

registerProcessor("capture", Capture);
