/** Attributes in the inode: read whole and written whole. Rules: xfs_attr_leaf.c. */
import { ATTR_SF_ENTRY, ATTR_SF_HDR, attrSfEntrySize } from '../format/attr.js';
import { verifyAttrShortForm } from '../format/attrcheck.js';
import { FORK_FORMAT } from '../format/dinode.js';
import { throwFault } from '../format/fault.js';
import type { Geometry } from '../format/geometry.js';
import { ILOG } from '../format/logitems.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

/** An attribute: namespace bits (ATTR_FLAG), a name without prefix, and its value. */
export interface ShortAttr {
  readonly flags: number;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** Bytes the short form takes; Infinity where a value is too long for it, or they are too many. */
export function attrShortSize(attrs: readonly ShortAttr[]): number {
  let size: number = ATTR_SF_HDR.size;
  for (const a of attrs) {
    if (a.value.length > 255) return Number.POSITIVE_INFINITY;
    size += attrSfEntrySize(a.name.length, a.value.length);
  }
  return attrs.length > 255 ? Number.POSITIVE_INFINITY : size;
}

/** Reads the short form. Throws CorruptionError. */
export function readAttrShort(g: Geometry, inode: LiveInode): ShortAttr[] {
  const fork = inode.buffer.bytes.subarray(inode.attrAt, inode.attrAt + inode.attrSize);
  verifyAttrShortForm(g, fork, inode.ino, throwFault);
  const out: ShortAttr[] = [];
  let at: number = ATTR_SF_HDR.size;
  for (let i = fork[ATTR_SF_HDR.at.count]; i > 0; i--) {
    const name = at + ATTR_SF_ENTRY.size;
    const value = name + fork[at];
    const end = value + fork[at + ATTR_SF_ENTRY.at.valuelen];
    const flags = fork[at + ATTR_SF_ENTRY.at.flags];
    out.push({ flags, name: fork.slice(name, value), value: fork.slice(value, end) });
    at = end;
  }
  return out;
}

/** Writes the short form into an attribute fork that maps no blocks and is large enough. */
export function writeAttrShort(tx: Transaction, inode: LiveInode, attrs: readonly ShortAttr[]): void {
  tx.editInode(inode, ILOG.ADATA);
  inode.setFormat('attr', FORK_FORMAT.LOCAL);
  inode.setExtentCount('attr', 0);
  inode.forget();
  tx.onAbort(() => inode.forget());
  const fork = inode.buffer.bytes.subarray(inode.attrAt, inode.attrAt + inode.attrSize);
  fork.fill(0);
  const size = attrShortSize(attrs);
  fork[0] = size >>> 8;
  fork[1] = size & 0xff;
  fork[ATTR_SF_HDR.at.count] = attrs.length;
  let at: number = ATTR_SF_HDR.size;
  for (const a of attrs) {
    fork[at] = a.name.length;
    fork[at + ATTR_SF_ENTRY.at.valuelen] = a.value.length;
    fork[at + ATTR_SF_ENTRY.at.flags] = a.flags;
    fork.set(a.name, at + ATTR_SF_ENTRY.size);
    fork.set(a.value, at + ATTR_SF_ENTRY.size + a.name.length);
    at += attrSfEntrySize(a.name.length, a.value.length);
  }
}
