/**
 * Runs of an AG, packed for the page: for each its length, what it is in use for, and where they mean something
 * its owners and what else is in it. Used on both sides: nothing of Node, nothing of a browser.
 *
 * A run is: its blocks (LEB128); a byte of its use, with MIXED and OWNED; with OWNED its owners (LEB128); with
 * MIXED a byte of what else is in it, and a byte of its use's share.
 */

const USE_MASK = 0x1f;
const MIXED = 0x20;
const OWNED = 0x40;

/** Runs in columns, from block 0 on, side by side. */
export interface RunColumns {
  readonly count: number;
  readonly start: Uint32Array;
  readonly blocks: Uint32Array;
  readonly use: Uint8Array;
  readonly owners: Uint32Array;
  /** What else is in it: the same as `use` where nothing is. */
  readonly also: Uint8Array;
  /** The use's part of it, 1 to 255; 255 is all. */
  readonly share: Uint8Array;
}

export class RunWriter {
  #bytes = new Uint8Array(1024);
  #used = 0;
  count = 0;

  add(blocks: number, use: number, owners: number, also: number, share: number): void {
    if (this.#used + 16 > this.#bytes.length) {
      const longer = new Uint8Array(this.#bytes.length * 2);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    this.count++;
    this.#number(blocks);
    this.#byte(use | (also === use ? 0 : MIXED) | (owners > 1 ? OWNED : 0));
    if (owners > 1) this.#number(owners);
    if (also === use) return;
    this.#byte(also);
    this.#byte(share);
  }

  #byte(value: number): void {
    this.#bytes[this.#used++] = value;
  }

  #number(value: number): void {
    let n = value;
    for (; n >= 0x80; n >>>= 7) this.#byte((n & 0x7f) | 0x80);
    this.#byte(n);
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }
}

export function readRuns(bytes: Uint8Array): RunColumns {
  // No run takes fewer than two bytes.
  const most = bytes.length >>> 1;
  const start = new Uint32Array(most);
  const blocks = new Uint32Array(most);
  const use = new Uint8Array(most);
  const owners = new Uint32Array(most);
  const also = new Uint8Array(most);
  const share = new Uint8Array(most);
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  let count = 0;
  for (let block = 0; at < bytes.length; count++) {
    start[count] = block;
    blocks[count] = number();
    block += blocks[count];
    const head = bytes[at++];
    use[count] = head & USE_MASK;
    owners[count] = head & OWNED ? number() : 1;
    also[count] = head & MIXED ? bytes[at++] : use[count];
    share[count] = head & MIXED ? bytes[at++] : 255;
  }
  return {
    count,
    start: start.subarray(0, count),
    blocks: blocks.subarray(0, count),
    use: use.subarray(0, count),
    owners: owners.subarray(0, count),
    also: also.subarray(0, count),
    share: share.subarray(0, count),
  };
}
