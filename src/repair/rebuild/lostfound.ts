/** lost+found: inodes that nothing leads to, and blocks nobody may see until a human has. */

import { buildFork, ExtentColumns } from '../../build/fork.js';
import { encodeInode } from '../../build/inode.js';
import { BTREES, recordAt, SHORT_BLOCK } from '../../format/btree.js';
import { sealCrc } from '../../format/checksum.js';
import { DIFLAG2, DINODE, DINODE64, FORK_FORMAT, S_IF } from '../../format/dinode.js';
import { FTYPE } from '../../format/dir.js';
import {
  aginoOfIno,
  agnoOfIno,
  blockOffset,
  fsblockOf,
  fsblockOffset,
  INODES_PER_CHUNK,
  inodeOffset,
} from '../../format/geometry.js';
import { setU64 } from '../../format/structure.js';
import { agTreeOf, walkLeaves } from '../../volume/btree.js';
import { readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { EntryList, readableEntries, writeDirectory } from './dirs.js';
import { type FreeSpace, NoSpaceError } from './space.js';

const NAME = Buffer.from('lost+found');

export class LostFound {
  readonly #o: Observation;
  readonly #added: { name: Uint8Array; ino: number; ftype: number }[] = [];
  /** Inodes given out in this round. */
  readonly #taken = new Set<number>();

  constructor(o: Observation) {
    this.#o = o;
  }

  add(ino: number, ftype: number, name: string): void {
    this.#added.push({ ino, ftype, name: Buffer.from(name) });
  }

  /** Makes a file of root's that maps the given blocks, and puts it into lost+found under `name`. */
  addFile(volume: Volume, space: FreeSpace, name: string, agno: number, start: number, blocks: number): void {
    const { g } = volume;
    const ino = this.#takeInode(volume, agno);
    const list = new ExtentColumns();
    list.add(0, fsblockOf(g, agno, start), blocks);
    const built = buildFork(g, ino, list, g.inodesize - DINODE.size, {
      take: (count) => space.take(agno, count),
      emit: (fsblock, block) => volume.source.write(fsblockOffset(g, fsblock), block),
    });
    this.#writeInode(
      volume,
      ino,
      S_IF.REG | 0o600,
      1,
      built.format,
      blocks * g.blocksize,
      blocks,
      built.bytes,
      built.extents,
    );
    this.add(ino, FTYPE.REG, name);
  }

  /** Writes lost+found with everything added to it, making it first where the root has none. */
  write(volume: Volume, space: FreeSpace): void {
    if (this.#added.length === 0) return;
    const { g } = volume;
    const root = readableEntries(this.#o, volume, g.rootino);
    let ino = -1;
    for (let i = 0; i < root.count; i++)
      if (
        NAME.equals(root.pool.subarray(root.start[i], root.start[i] + root.length[i])) &&
        root.ftype[i] === FTYPE.DIR
      )
        ino = root.ino[i];
    let entries = new EntryList();
    if (ino < 0) {
      ino = this.#takeInode(volume, agnoOfIno(g, g.rootino));
      const empty = new Uint8Array(0);
      this.#writeInode(volume, ino, S_IF.DIR | 0o700, 2, FORK_FORMAT.LOCAL, 6, 0, empty, 0);
      // A file of that name stands in the way: the directory takes the next free one.
      for (let n = 0; !root.add(n === 0 ? NAME : Buffer.from(`lost+found.${n}`), ino, FTYPE.DIR); n++);
      writeDirectory(volume, space, g.rootino, root, g.rootino);
    } else entries = readableEntries(this.#o, volume, ino);
    for (const { name, ino: child, ftype } of this.#added) {
      for (
        let n = 0;
        !entries.add(n === 0 ? name : Buffer.concat([name, Buffer.from(`.${n}`)]), child, ftype);
        n++
      );
    }
    writeDirectory(volume, space, ino, entries, g.rootino);
    this.#added.length = 0;
  }

  #writeInode(
    volume: Volume,
    ino: number,
    mode: number,
    nlink: number,
    format: number,
    size: number,
    nblocks: number,
    fork: Uint8Array,
    extents: number,
  ): void {
    const { g } = volume;
    const old = readInode(volume, ino, { verify: false });
    const bytes = new Uint8Array(g.inodesize);
    const now = { sec: Math.floor(Date.now() / 1000), nsec: 0 };
    const flags2 = (g.features.bigtime ? DIFLAG2.BIGTIME : 0) | (g.features.nrext64 ? DIFLAG2.NREXT64 : 0);
    encodeInode(
      g,
      bytes,
      {
        ino,
        mode,
        nlink,
        format,
        size,
        nblocks,
        flags2,
        // A number used before gets another generation: file handles of its past are no good.
        generation: (old.generation + 1) >>> 0,
        changeCount: 1,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
      },
      fork,
    );
    const v = new DataView(bytes.buffer);
    if (g.features.nrext64) setU64(v, DINODE64.at.nextents, extents);
    else v.setUint32(DINODE.at.nextents, extents);
    sealCrc(bytes, DINODE.at.crc);
    volume.source.write(inodeOffset(g, ino), bytes);
    volume.cache.clear();
  }

  /**
   * Takes a free inode, near AG `agno`, and marks it used in the inobt where it stands: what counts it is set
   * right when the AG is rebuilt. Throws NoSpaceError where no chunk has one.
   */
  #takeInode(volume: Volume, agno: number): number {
    const { table } = this.#o;
    const { g } = volume;
    for (let i = 0; i < g.agcount; i++) {
      const n = (agno + i) % g.agcount;
      for (let chunk = table.firstChunk[n]; chunk < table.firstChunk[n + 1]; chunk++) {
        if (!table.hasFree(chunk)) continue;
        for (let k = 0; k < INODES_PER_CHUNK; k++) {
          const slot = chunk * INODES_PER_CHUNK + k;
          const mask = k < 32 ? table.freeLow[chunk] : table.freeHigh[chunk];
          const there = ((table.holemask[chunk] >>> (k >> 2)) & 1) === 0;
          const ino = table.ino(slot);
          if (!there || ((mask >>> (k & 31)) & 1) === 0 || this.#taken.has(ino)) continue;
          if (table.flags[slot] & SLOT.USED) continue;
          this.#taken.add(ino);
          markInode(volume, ino, false);
          return ino;
        }
      }
    }
    throw new NoSpaceError('no inode is free for lost+found');
  }
}

/** Sets or clears an inode's free bit in its inobt record, where that can be read. */
export function markInode(volume: Volume, ino: number, free: boolean): void {
  const { g } = volume;
  const agno = agnoOfIno(g, ino);
  const agino = aginoOfIno(g, ino);
  const kind = BTREES.inobt;
  walkLeaves(
    volume,
    agTreeOf(g, agno, 'inobt', volume.header(agno, 'agi')),
    (leaf, numrecs, _first, _agno, agbno) => {
      for (let i = 0; i < numrecs; i++) {
        const at = recordAt(kind, i);
        const k = agino - leaf.getUint32(at);
        if (k < 0 || k >= INODES_PER_CHUNK) continue;
        const word = at + (k < 32 ? 12 : 8);
        const block = bytesOf(leaf).slice();
        const v = new DataView(block.buffer);
        const mask = v.getUint32(word);
        const bit = 2 ** (k & 31);
        const isFree = (mask & bit) !== 0;
        if (isFree === free) return;
        v.setUint32(word, (free ? mask | bit : mask & ~bit) >>> 0);
        const more = free ? 1 : -1;
        if (g.features.sparseInodes) v.setUint8(at + 7, v.getUint8(at + 7) + more);
        else v.setUint32(at + 4, v.getUint32(at + 4) + more);
        sealCrc(block, SHORT_BLOCK.at.crc);
        volume.source.write(blockOffset(g, agno, agbno), block);
      }
    },
    () => {},
  );
  volume.cache.clear();
}
