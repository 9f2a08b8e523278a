/** Where the data of sparse members is: GNU's own header with its continuations, and the three forms of pax. */
import {
  GNU_SPARSE,
  GNU_SPARSE_ENTRY,
  GNU_SPARSE_MORE,
  TAR_BLOCK,
  TAR_TYPE,
  tarNumber,
} from '../../format/tar.js';
import type { Archive } from './archive.js';
import type { PaxFields } from './tarpax.js';

/** Most runs of a sparse file. */
const MAX_RUNS = 2 ** 22;

export interface SparseMap {
  /** Starts and ends of the runs of data, in turn. */
  readonly runs: Float64Array;
  /** Where the data of each run begins in the archive. */
  readonly at: Float64Array;
  /** Size of the file, holes included. */
  readonly size: number;
  /** Where the next member begins, where the member's own size does not tell; else 0. */
  readonly end: number;
}

/** A member as its headers tell it. */
export interface SparseMember {
  readonly header: Uint8Array;
  readonly type: string;
  readonly pax: PaxFields;
  /** Where its data begins in the archive, and their bytes. */
  readonly dataAt: number;
  readonly bytes: number;
}

/** Offsets and lengths in turn, where the data begins behind them, and how much there is. */
interface Pairs {
  readonly pairs: readonly number[];
  readonly at: number;
  readonly bytes: number;
}

/**
 * The map of a sparse member, held against what is there; undefined where it is none. `bad` makes the error for
 * one that cannot be.
 */
export function sparseMap(
  archive: Archive,
  m: SparseMember,
  bad: (why: string) => Error,
): SparseMap | undefined {
  const isGnu = m.type === TAR_TYPE.GNU_SPARSE;
  const found = isGnu ? gnuPairs(archive, m, bad) : paxPairs(archive, m, bad);
  if (found === undefined) return undefined;
  const size = isGnu ? tarNumber(m.header, GNU_SPARSE.realsize, 12) : m.pax.sparseSize;
  if (size === undefined || !Number.isSafeInteger(size) || size < 0)
    throw bad('a sparse file without its size');
  const end = isGnu ? found.at + Math.ceil(m.bytes / TAR_BLOCK) * TAR_BLOCK : 0;
  if (end > archive.size) throw bad('truncated: a sparse file');
  const { pairs, at, bytes } = found;
  const runs: number[] = [];
  const places: number[] = [];
  let used = 0;
  let last = 0;
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const [from, length] = [pairs[i], pairs[i + 1]];
    if (!(from >= last) || !(length >= 0) || !(from + length <= size) || used + length > bytes)
      throw bad('a sparse file whose map does not fit its size');
    last = from + length;
    if (length > 0) {
      runs.push(from, last);
      places.push(at + used);
    }
    used += length;
  }
  return { runs: Float64Array.from(runs), at: Float64Array.from(places), size, end };
}

/** GNU's own format: four runs in the header, more in blocks between it and the data. */
function gnuPairs(archive: Archive, m: SparseMember, bad: (why: string) => Error): Pairs {
  const pairs: number[] = [];
  const take = (b: Uint8Array, from: number, count: number): void => {
    for (let i = 0; i < count; i++) {
      const entry = from + i * GNU_SPARSE_ENTRY;
      if (b[entry] === 0) return;
      pairs.push(tarNumber(b, entry, 12), tarNumber(b, entry + 12, 12));
    }
  };
  take(m.header, GNU_SPARSE.map, GNU_SPARSE.entries);
  const block = new Uint8Array(TAR_BLOCK);
  let at = m.dataAt;
  for (
    let more = m.header[GNU_SPARSE.isextended] !== 0;
    more;
    more = block[GNU_SPARSE_MORE.isextended] !== 0
  ) {
    archive.read(at, block);
    at += TAR_BLOCK;
    take(block, 0, GNU_SPARSE_MORE.entries);
    if (pairs.length > MAX_RUNS * 2) throw bad('too many runs in a sparse file');
  }
  return { pairs, at, bytes: m.bytes };
}

function paxPairs(archive: Archive, m: SparseMember, bad: (why: string) => Error): Pairs | undefined {
  const { pax, dataAt, bytes } = m;
  if (pax.sparseMajor === 1) {
    const { pairs, taken } = textPairs(archive, dataAt, bytes, bad);
    return { pairs, at: dataAt + taken, bytes: bytes - taken };
  }
  if (pax.sparsePairs === undefined || pax.sparseSize === undefined) return undefined;
  return { pairs: pax.sparsePairs, at: dataAt, bytes };
}

/** The map of format 1.0, in front of the data: lines with a count, then offset and length of each run. */
function textPairs(
  archive: Archive,
  dataAt: number,
  bytes: number,
  bad: (why: string) => Error,
): { pairs: number[]; taken: number } {
  const block = new Uint8Array(TAR_BLOCK);
  const numbers: number[] = [];
  let wanted = 1;
  let value = -1;
  for (let at = 0; at < bytes; at += TAR_BLOCK) {
    archive.read(dataAt + at, block);
    for (const c of block) {
      if (c >= 0x30 && c <= 0x39) value = Math.max(value, 0) * 10 + (c - 0x30);
      else if (c === 0x0a && value >= 0 && Number.isSafeInteger(value)) {
        if (numbers.length === 0) {
          if (value > MAX_RUNS) throw bad('too many runs in a sparse file');
          wanted = 1 + value * 2;
        }
        numbers.push(value);
        value = -1;
        if (numbers.length === wanted) return { pairs: numbers.slice(1), taken: at + TAR_BLOCK };
      } else throw bad('a sparse file whose map is not one');
    }
  }
  throw bad('a sparse file whose map is not one');
}
