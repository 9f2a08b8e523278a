/** Sizes counted by powers of two, as they are met: nothing is kept of a single one. */
import type { Histogram } from './payload.js';

/** Sizes below this are counted one by one too, for the median. */
const EXACT = 4096;

export class HistogramBuilder {
  readonly #counts: number[] = [];
  readonly #blocks: number[] = [];
  readonly #exact = new Float64Array(EXACT);
  #total = 0;
  #sum = 0;
  #max = 0;

  /** Counts `times` things of `size` (at least 1), which take `blocks` each. */
  add(size: number, times = 1, blocks = size): void {
    if (size < 1) return; // a damaged record
    const bar = Math.floor(Math.log2(size));
    while (this.#counts.length <= bar) {
      this.#counts.push(0);
      this.#blocks.push(0);
    }
    this.#counts[bar] += times;
    this.#blocks[bar] += times * blocks;
    this.#total += times;
    this.#sum += times * size;
    if (size > this.#max) this.#max = size;
    if (size < EXACT) this.#exact[size] += times;
  }

  /** Exact below 4096; above, the begin of the bar it lies in. */
  #median(): number {
    let left = Math.ceil(this.#total / 2);
    if (left === 0) return 0;
    for (let size = 1; size < EXACT; size++) {
      left -= this.#exact[size];
      if (left <= 0) return size;
    }
    for (let bar = Math.log2(EXACT); bar < this.#counts.length; bar++) {
      left -= this.#counts[bar];
      if (left <= 0) return 2 ** bar;
    }
    return this.#max;
  }

  finish(): Histogram {
    return {
      counts: this.#counts,
      blocks: this.#blocks,
      total: this.#total,
      sum: this.#sum,
      max: this.#max,
      median: this.#median(),
    };
  }
}
