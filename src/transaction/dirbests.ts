/**
 * The longest free region of each data block of a directory: in the tail of the single leaf, or in free-space
 * blocks. NULLDATAOFF stands for a data block that does not exist. Rules: xfs_dir2_leaf.c, xfs_dir2_node.c.
 */
import {
  DIR3_FREE_HDR,
  DIR3_LEAF_HDR,
  freeSpaceBlock,
  LEAF_ENTRY,
  LEAF_TAIL,
  maxFreeBests,
  NULLDATAOFF,
  XFS_DIR3_FREE_MAGIC,
} from '../format/dir.js';
import { verifyDirFree } from '../format/dircheck.js';
import { BLFT } from '../format/logitems.js';
import type { Buffer } from './buffers.js';
import { initDirHeader } from './dirdata.js';
import { leafCount } from './dirleaf.js';
import type { ForkSpace } from './forkspace.js';

export interface Bests {
  /** A data block with a free region of `size` bytes or more; -1 where none has it. */
  find(size: number): number;
  /** Length for data block `db`, NULLDATAOFF where there is no such block. */
  get(db: number): number;
  /** Sets it; `db` may be the first behind the last. */
  set(db: number, best: number): void;
  /** The directory has only so many data blocks now; what lies behind is NULLDATAOFF. */
  trim(dataBlocks: number): void;
}

/** In the tail of the single leaf. */
export class LeafBests implements Bests {
  readonly #space: ForkSpace;
  readonly leaf: Buffer;

  constructor(space: ForkSpace, leaf: Buffer) {
    this.#space = space;
    this.leaf = leaf;
  }

  get #tail(): number {
    return this.leaf.length - LEAF_TAIL.size;
  }
  get count(): number {
    return this.leaf.view.getUint32(this.#tail);
  }
  #at(db: number): number {
    return this.#tail - (this.count - db) * 2;
  }

  /** Whether there is room for so many more hashes and data blocks. */
  hasRoom(hashes: number, dataBlocks: number): boolean {
    const used = DIR3_LEAF_HDR.size + (leafCount(this.leaf) + hashes) * LEAF_ENTRY.size;
    return used + (this.count + dataBlocks) * 2 <= this.#tail;
  }

  find(size: number): number {
    for (let db = 0; db < this.count; db++) {
      const best = this.get(db);
      if (best !== NULLDATAOFF && best >= size) return db;
    }
    return -1;
  }

  get(db: number): number {
    return db < this.count ? this.leaf.view.getUint16(this.#at(db)) : NULLDATAOFF;
  }

  #resize(count: number): void {
    const { leaf } = this;
    const { tx } = this.#space;
    const values: number[] = [];
    for (let db = 0; db < count; db++) values.push(this.get(db));
    const from = this.#tail - Math.max(count, this.count) * 2;
    tx.edit(leaf, from, leaf.length - from);
    leaf.bytes.fill(0, from, this.#tail);
    leaf.view.setUint32(this.#tail, count);
    for (let db = 0; db < count; db++) leaf.view.setUint16(this.#at(db), values[db]);
  }

  set(db: number, best: number): void {
    if (db >= this.count) this.#resize(db + 1);
    this.#space.tx.edit(this.leaf, this.#at(db), 2);
    this.leaf.view.setUint16(this.#at(db), best);
  }

  trim(dataBlocks: number): void {
    if (dataBlocks < this.count) this.#resize(dataBlocks);
  }
}

/** In free-space blocks. */
export class FreeBests implements Bests {
  readonly #space: ForkSpace;
  readonly #room: number;

  constructor(space: ForkSpace) {
    this.#space = space;
    this.#room = maxFreeBests(space.bytes);
  }

  #fileBlock(k: number): number {
    return freeSpaceBlock(this.#space.g) + k * this.#space.unit;
  }

  /** Free-space blocks there may be: the last is behind them. */
  get #count(): number {
    const space = this.#space;
    return Math.max(0, Math.ceil((space.end - this.#fileBlock(0)) / space.unit));
  }

  #load(k: number): Buffer | undefined {
    const space = this.#space;
    const at = this.#fileBlock(k);
    if (!space.has(at)) return undefined;
    return space.checked(at, BLFT.DIR_FREE, (b, place, report) =>
      verifyDirFree(space.g, b, place, k, report),
    );
  }

  find(size: number): number {
    const count = this.#count;
    for (let k = 0; k < count; k++) {
      const b = this.#load(k);
      if (b === undefined) continue;
      const nvalid = b.view.getUint32(DIR3_FREE_HDR.at.nvalid);
      for (let i = 0; i < nvalid; i++) {
        const best = b.view.getUint16(DIR3_FREE_HDR.size + i * 2);
        if (best >= size && best !== NULLDATAOFF) return k * this.#room + i;
      }
    }
    return -1;
  }

  get(db: number): number {
    const b = this.#load(Math.floor(db / this.#room));
    const i = db % this.#room;
    if (b === undefined || i >= b.view.getUint32(DIR3_FREE_HDR.at.nvalid)) return NULLDATAOFF;
    return b.view.getUint16(DIR3_FREE_HDR.size + i * 2);
  }

  set(db: number, best: number): void {
    const space = this.#space;
    const { tx } = space;
    const k = Math.floor(db / this.#room);
    const i = db % this.#room;
    let b = this.#load(k);
    if (b === undefined) {
      b = space.add(this.#fileBlock(k), BLFT.DIR_FREE);
      initDirHeader(space, b, XFS_DIR3_FREE_MAGIC);
      b.view.setUint32(DIR3_FREE_HDR.at.firstdb, k * this.#room);
    }
    const nvalid = b.view.getUint32(DIR3_FREE_HDR.at.nvalid);
    if (i >= nvalid) {
      tx.edit(b, DIR3_FREE_HDR.size + nvalid * 2, (i + 1 - nvalid) * 2);
      b.bytes.fill(0xff, DIR3_FREE_HDR.size + nvalid * 2, DIR3_FREE_HDR.size + (i + 1) * 2);
      tx.put32(b, DIR3_FREE_HDR.at.nvalid, i + 1);
    }
    const at = DIR3_FREE_HDR.size + i * 2;
    const before = b.view.getUint16(at);
    const delta = (best === NULLDATAOFF ? 0 : 1) - (before === NULLDATAOFF ? 0 : 1);
    if (delta !== 0) tx.add32(b, DIR3_FREE_HDR.at.nused, delta);
    tx.edit(b, at, 2);
    b.view.setUint16(at, best);
  }

  trim(dataBlocks: number): void {
    const space = this.#space;
    for (let k = this.#count - 1; k >= 0; k--) {
      const b = this.#load(k);
      if (b === undefined) continue;
      const first = k * this.#room;
      if (first >= dataBlocks) {
        space.remove(this.#fileBlock(k));
        continue;
      }
      const nvalid = Math.min(b.view.getUint32(DIR3_FREE_HDR.at.nvalid), dataBlocks - first);
      space.tx.put32(b, DIR3_FREE_HDR.at.nvalid, nvalid);
      return;
    }
  }
}
