/** How an inode's room is shared between its two forks, and the inode with both. */

import { MIN_ROOT_BYTES } from '../../build/fork.js';
import { fillInode, type InodeCore } from '../../build/inode.js';
import { sealCrc } from '../../format/checksum.js';
import { DINODE, DINODE_SIZE, DINODE64, FORK_FORMAT } from '../../format/dinode.js';
import type { Geometry } from '../../format/geometry.js';
import { setU64 } from '../../format/structure.js';

const floor8 = (n: number): number => n & ~7;
const ceil8 = (n: number): number => (n + 7) & ~7;

/** The data fork a device has: its number. */
export const DEVICE_FORK = 8;
/** Least a data fork of extents is left, so that it can become a btree. */
const MIN_DATA = ceil8(MIN_ROOT_BYTES);
/** Least an attribute fork of extents is left: a root with two pointers. */
const MIN_ATTR = 40;
/** Where Linux puts an attribute fork of extents (xfs_default_attroffset: twelve attribute extents' room). */
const DEFAULT_DATA = 192;

export interface ForkRooms {
  /** The attributes stand in the inode. */
  readonly attrsInside: boolean;
  /** Bytes for a data fork in local format. */
  readonly local: number;
}

/** @param attrBytes short form of the attributes; undefined where they do not have one; 0 without any */
export function forkRooms(g: Geometry, attrBytes: number | undefined, isDevice: boolean): ForkRooms {
  const all = g.inodesize - DINODE_SIZE;
  if (attrBytes === 0) return { attrsInside: true, local: all };
  const least = isDevice ? DEVICE_FORK : MIN_DATA;
  if (attrBytes !== undefined && attrBytes <= all - least)
    return { attrsInside: true, local: floor8(all - attrBytes) };
  return { attrsInside: false, local: floor8(all - MIN_ATTR) };
}

/**
 * Byte at which the attribute fork begins, from the data fork's start.
 *
 * @param dataBytes what the data fork holds in the inode as it stands: local bytes, or 0
 */
export function attrOffset(
  g: Geometry,
  rooms: ForkRooms,
  attrBytes: number | undefined,
  dataBytes: number,
  isDevice: boolean,
): number {
  if (isDevice) return DEVICE_FORK;
  const all = g.inodesize - DINODE_SIZE;
  if (rooms.attrsInside && attrBytes !== undefined) return floor8(all - attrBytes);
  return Math.max(ceil8(dataBytes), Math.min(DEFAULT_DATA, floor8(all - MIN_ATTR)));
}

export interface Fork {
  readonly format: number;
  readonly bytes: Uint8Array;
  readonly extents: number;
}

/**
 * Writes an inode with both forks over `bytes`, which `v` covers. `attrAt` is where the attribute fork begins,
 * 0 for none.
 */
export function encodeForks(
  g: Geometry,
  bytes: Uint8Array,
  v: DataView,
  core: InodeCore,
  data: Fork,
  attrAt: number,
  attr: Fork | undefined,
): void {
  fillInode(g, bytes, v, core, data.bytes);
  if (g.features.nrext64) {
    setU64(v, DINODE64.at.nextents, data.extents);
    v.setUint32(DINODE64.at.naextents, attr?.extents ?? 0);
  } else {
    v.setUint32(DINODE.at.nextents, data.extents);
    v.setUint16(DINODE.at.naextents, attr?.extents ?? 0);
  }
  if (attr !== undefined) {
    v.setUint8(DINODE.at.forkoff, attrAt / 8);
    v.setUint8(DINODE.at.aformat, attr.format);
    bytes.set(attr.bytes, DINODE_SIZE + attrAt);
  } else v.setUint8(DINODE.at.aformat, FORK_FORMAT.EXTENTS);
  sealCrc(bytes, DINODE.at.crc);
}
