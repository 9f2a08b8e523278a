/** Keys of the seven btrees as words to compare: see btree.ts. Layouts: xfs_format.h. */
import type { BtreeName } from '../format/btree.js';
import { extentOffset } from '../format/extent.js';
import type { KeyReader } from './btreenode.js';

/** The flags of an rmap record's offset that count in its key: attribute fork, bmbt block; not "unwritten". */
const RMAP_KEY_MASK = 0xdfff_ffff;
const RMAP_BMBT_BLOCK = 0x4000_0000;
/** Upper word of an owner that is no inode: all special owners are negative. */
const NON_INODE = 0x8000_0000;

const firstWord: KeyReader = {
  words: 1,
  record: (v, at, into) => {
    into[0] = v.getUint32(at);
  },
  key: (v, at, into) => {
    into[0] = v.getUint32(at);
  },
  write: (v, at, key) => v.setUint32(at, key[0]),
};

/** By length, then by start. */
const bySize: KeyReader = {
  words: 2,
  record: (v, at, into) => {
    into[0] = v.getUint32(at + 4);
    into[1] = v.getUint32(at);
  },
  key: (v, at, into) => {
    into[0] = v.getUint32(at + 4);
    into[1] = v.getUint32(at);
  },
  write: (v, at, key) => {
    v.setUint32(at, key[1]);
    v.setUint32(at + 4, key[0]);
  },
};

/** By start; a node's key carries the length as well. */
const byStart: KeyReader = {
  words: 1,
  stored: 2,
  record: (v, at, into) => {
    into[0] = v.getUint32(at);
    into[1] = v.getUint32(at + 4);
  },
  key: (v, at, into) => {
    into[0] = v.getUint32(at);
    into[1] = v.getUint32(at + 4);
  },
  write: (v, at, key) => {
    v.setUint32(at, key[0]);
    v.setUint32(at + 4, key[1]);
  },
};

/** Start, owner, offset with its flags. */
const rmap: KeyReader = {
  words: 5,
  record: (v, at, into) => {
    into[0] = v.getUint32(at);
    into[1] = v.getUint32(at + 8);
    into[2] = v.getUint32(at + 12);
    into[3] = v.getUint32(at + 16) & RMAP_KEY_MASK;
    into[4] = v.getUint32(at + 20);
  },
  recordHigh: (v, at, into) => {
    const more = v.getUint32(at + 4) - 1;
    into[0] = v.getUint32(at) + more;
    into[1] = v.getUint32(at + 8);
    into[2] = v.getUint32(at + 12);
    const high = v.getUint32(at + 16) & RMAP_KEY_MASK;
    const low = v.getUint32(at + 20);
    const moves = into[1] < NON_INODE && (high & RMAP_BMBT_BLOCK) === 0;
    const sum = moves ? low + more : low;
    into[3] = high + (sum > 0xffff_ffff ? 1 : 0);
    into[4] = sum;
  },
  key: (v, at, into) => {
    into[0] = v.getUint32(at);
    into[1] = v.getUint32(at + 4);
    into[2] = v.getUint32(at + 8);
    into[3] = v.getUint32(at + 12) & RMAP_KEY_MASK;
    into[4] = v.getUint32(at + 16);
  },
  write: (v, at, key) => {
    for (let i = 0; i < 5; i++) v.setUint32(at + i * 4, key[i]);
  },
};

const bmbt: KeyReader = {
  words: 2,
  record: (v, at, into) => {
    const offset = extentOffset(v, at);
    into[0] = Math.floor(offset / 2 ** 32);
    into[1] = offset % 2 ** 32;
  },
  key: (v, at, into) => {
    into[0] = v.getUint32(at);
    into[1] = v.getUint32(at + 4);
  },
  write: (v, at, key) => {
    v.setUint32(at, key[0]);
    v.setUint32(at + 4, key[1]);
  },
};

export const KEYS: Record<BtreeName, KeyReader> = {
  bnobt: byStart,
  cntbt: bySize,
  inobt: firstWord,
  finobt: firstWord,
  refcountbt: firstWord,
  rmapbt: rmap,
  bmbt,
};
