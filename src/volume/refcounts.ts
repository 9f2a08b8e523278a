/**
 * How many owners a run of blocks has, from the refcount btrees: an AG's records are read into columns when
 * it is first asked about. Only flagged inodes ever need to ask.
 */
import { refcountIsCow, refcountStart } from '../format/btree.js';
import type { Report } from '../format/fault.js';
import { walkRecords } from './check.js';
import type { Volume } from './volume.js';

/** Records of the shared domain of one AG, in order, that do not overlap. */
export interface AgRefcounts {
  readonly count: number;
  readonly start: Uint32Array;
  readonly blocks: Uint32Array;
  readonly refcount: Uint32Array;
}

/**
 * Takes a part of a run that has one number of owners throughout. `record` is the index of the record that
 * says so in its AG, -1 where there is none.
 */
export type RunVisitor = (agbno: number, blocks: number, owners: number, record: number) => void;

/** Records kept at once, over all AGs: about 48 MB. The AGs asked for least lately are dropped first. */
const MAX_RECORDS = 4 * 2 ** 20;

const grown = (from: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
  const to = new Uint32Array(from.length * 2);
  to.set(from);
  return to;
};

export class Refcounts {
  readonly #volume: Volume;
  readonly #report: Report;
  readonly #ags = new Map<number, AgRefcounts>();
  #records = 0;
  /** AGs whose damage has been reported: reading one again stays silent. */
  readonly #read = new Set<number>();

  constructor(volume: Volume, report: Report = volume.report) {
    this.#volume = volume;
    this.#report = report;
  }

  /** The records of AG `agno`; those that cannot be true are reported and left out. */
  ag(agno: number): AgRefcounts {
    const known = this.#ags.get(agno);
    if (known !== undefined) return known;
    const list = this.#load(agno);
    for (const [other, { count }] of this.#ags) {
      if (this.#records + list.count <= MAX_RECORDS) break;
      this.#ags.delete(other);
      this.#records -= count;
    }
    this.#ags.set(agno, list);
    this.#records += list.count;
    return list;
  }

  #load(agno: number): AgRefcounts {
    let start = new Uint32Array(256);
    let blocks = new Uint32Array(256);
    let refcount = new Uint32Array(256);
    let count = 0;
    const report: Report = this.#read.has(agno) ? () => {} : this.#report;
    this.#read.add(agno);
    if (this.#volume.g.features.reflink)
      walkRecords(
        this.#volume,
        agno,
        'refcountbt',
        (v, at, ok) => {
          if (!ok || refcountIsCow(v, at)) return;
          if (count === start.length) {
            start = grown(start);
            blocks = grown(blocks);
            refcount = grown(refcount);
          }
          start[count] = refcountStart(v, at);
          blocks[count] = v.getUint32(at + 4);
          refcount[count++] = v.getUint32(at + 8);
        },
        report,
      );
    return { count, start, blocks, refcount };
  }

  /** Cuts a run of blocks where its number of owners changes: 1 where no record speaks of it. */
  split(agno: number, agbno: number, blocks: number, visit: RunVisitor): void {
    const ag = this.ag(agno);
    const end = agbno + blocks;
    let low = 0;
    let high = ag.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ag.start[middle] + ag.blocks[middle] <= agbno) low = middle + 1;
      else high = middle;
    }
    let at = agbno;
    for (let i = low; at < end && i < ag.count && ag.start[i] < end; i++) {
      if (ag.start[i] > at) {
        visit(at, ag.start[i] - at, 1, -1);
        at = ag.start[i];
      }
      const to = Math.min(end, ag.start[i] + ag.blocks[i]);
      visit(at, to - at, ag.refcount[i], i);
      at = to;
    }
    if (at < end) visit(at, end - at, 1, -1);
  }
}
