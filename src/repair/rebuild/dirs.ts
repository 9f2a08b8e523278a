/**
 * Directories written anew from the names that can still be read: what is wrong in their blocks, their index,
 * their entries or '..' goes with the old form. Names that lead nowhere are left out.
 */
import { type DirEntries, planDir, shortFormDir, writeDir } from '../../build/dir.js';
import { buildFork, ExtentColumns } from '../../build/fork.js';
import { sealCrc } from '../../format/checksum.js';
import { DINODE, DINODE64, dinodeIsNrext64, FORK_FORMAT } from '../../format/dinode.js';
import { FTYPE } from '../../format/dir.js';
import { agnoOfIno, fsblockOffset, inodeOffset } from '../../format/geometry.js';
import { setU64 } from '../../format/structure.js';
import { bytesToText } from '../../format/text.js';
import { walkDir } from '../../volume/dir.js';
import { walkExtents, walkForkBlocks } from '../../volume/fork.js';
import { readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import type { LostFound } from './lostfound.js';
import type { FreeSpace } from './space.js';

/** Entries of one directory, to be added to and written. */
export class EntryList implements DirEntries {
  count = 0;
  pool = new Uint8Array(4096);
  readonly start: number[] = [];
  readonly length: number[] = [];
  readonly ino: number[] = [];
  readonly ftype: number[] = [];
  readonly #names = new Set<string>();
  #used = 0;

  /** Adds a name; false where the directory has it already. */
  add(name: Uint8Array, ino: number, ftype: number): boolean {
    const key = bytesToText(name);
    if (this.#names.has(key)) return false;
    this.#names.add(key);
    if (this.#used + name.length > this.pool.length) {
      const pool = new Uint8Array(this.pool.length * 2);
      pool.set(this.pool);
      this.pool = pool;
    }
    this.pool.set(name, this.#used);
    this.start.push(this.#used);
    this.length.push(name.length);
    this.ino.push(ino);
    this.ftype.push(ftype);
    this.#used += name.length;
    this.count++;
    return true;
  }
}

const ENTRY_CODES = ['short-form-dir.', 'dir-', 'directory.'];

/** Directories that findings call for, and inodes that nothing leads to. */
export class DirEdits {
  readonly #o: Observation;
  readonly #dirs = new Set<number>();
  readonly #lost: number[] = [];

  constructor(o: Observation, findings: readonly Finding[]) {
    this.#o = o;
    for (const f of findings) {
      if (f.ino === undefined || f.severity !== 'damage') continue;
      const slot = o.table.slot(f.ino);
      const usable = slot >= 0 && (o.table.flags[slot] & (SLOT.USED | SLOT.DOUBTFUL)) === SLOT.USED;
      if (!usable) continue;
      if (f.code === 'inode.lost') this.#lost.push(f.ino);
      else if (o.table.type[slot] === FTYPE.DIR && ENTRY_CODES.some((c) => f.code.startsWith(c)))
        this.#dirs.add(f.ino);
    }
  }

  /** Directories that are written anew; the root and lost+found too where something is put there. */
  get inodes(): ReadonlySet<number> {
    if (this.#lost.length === 0) return this.#dirs;
    const { rootino } = this.#o.volume.g;
    const out = new Set([...this.#dirs, rootino]);
    const { table } = this.#o;
    const root = table.slot(rootino);
    for (let slot = 0; slot < table.heldBy.length; slot++)
      if (table.heldBy[slot] === root && table.type[slot] === FTYPE.DIR) out.add(table.ino(slot));
    return out;
  }

  get size(): number {
    return this.#dirs.size + this.#lost.length;
  }

  apply(volume: Volume, space: FreeSpace, lostFound: LostFound): void {
    const { table } = this.#o;
    for (const ino of this.#dirs) {
      const slot = table.slot(ino);
      const holder = table.heldBy[slot];
      const parent = ino === volume.g.rootino || holder < 0 ? volume.g.rootino : table.ino(holder);
      writeDirectory(volume, space, ino, readableEntries(this.#o, volume, ino), parent);
    }
    for (const ino of this.#lost) lostFound.add(ino, table.type[table.slot(ino)], String(ino));
    lostFound.write(volume, space);
  }
}

const SLASH = 0x2f;

/** What can be read of a directory: names that may be names, of inodes in use. */
export function readableEntries(o: Observation, volume: Volume, ino: number): EntryList {
  const { table } = o;
  const self = table.slot(ino);
  const list = new EntryList();
  const inode = readInode(volume, ino, { verify: false });
  walkDir(
    volume,
    inode,
    (block, from, to, child) => {
      const slot = table.slot(child);
      if (slot < 0 || (table.flags[slot] & (SLOT.USED | SLOT.SYSTEM)) !== SLOT.USED) return;
      // A directory has one name: the one it was first found under.
      if (table.type[slot] === FTYPE.DIR && (table.heldBy[slot] !== self || child === volume.g.rootino))
        return;
      const name = block.slice(from, to);
      if (name.includes(SLASH) || name.includes(0)) return;
      list.add(name, child, table.type[slot]);
    },
    { report: () => {} },
  );
  return list;
}

/** Writes a directory's entries into its inode and new blocks; its old blocks become nobody's. */
export function writeDirectory(
  volume: Volume,
  space: FreeSpace,
  ino: number,
  entries: DirEntries,
  parent: number,
): void {
  const { g } = volume;
  const old = readInode(volume, ino, { verify: false });
  const bytes = bytesOf(old.view).slice(old.base, old.base + g.inodesize);
  const v = new DataView(bytes.buffer);
  const at = old.dataAt - old.base;
  const room = old.dataSize;
  let blocks = 0;
  if (old.hasAttrFork) {
    walkExtents(
      volume,
      old,
      'attr',
      (_o, _f, n) => {
        blocks += n;
      },
      () => {},
    );
    walkForkBlocks(
      volume,
      old,
      'attr',
      () => {
        blocks++;
      },
      () => {},
    );
  }
  const plan = planDir(g, entries, parent, room);
  let extents = 0;
  let format: number = FORK_FORMAT.LOCAL;
  let fork: Uint8Array;
  if (plan.form === 'short') fork = shortFormDir(g, entries, parent);
  else {
    const list = new ExtentColumns();
    const agno = agnoOfIno(g, ino);
    for (const run of plan.blocks) {
      const taken = space.take(agno, run.count);
      for (let i = 0; i < run.count; i++) list.add(run.offset + i, taken[i], 1);
    }
    writeDir(g, ino, parent, entries, plan, {
      daddr: (fileBlock) => fsblockOffset(g, list.find(fileBlock)!) / 512,
      emit: (fileBlock, block) => {
        for (let i = 0; i * g.blocksize < block.length; i++)
          volume.source.write(
            fsblockOffset(g, list.find(fileBlock + i)!),
            block.subarray(i * g.blocksize, (i + 1) * g.blocksize),
          );
      },
    });
    const built = buildFork(g, ino, list, room, {
      take: (count) => space.take(agno, count),
      emit: (fsblock, block) => volume.source.write(fsblockOffset(g, fsblock), block),
    });
    fork = built.bytes;
    format = built.format;
    extents = built.extents;
    blocks += list.total + built.treeBlocks;
  }
  bytes.fill(0, at, at + room);
  bytes.set(fork, at);
  v.setUint8(DINODE.at.format, format);
  setU64(v, DINODE.at.size, plan.size);
  setU64(v, DINODE.at.nblocks, blocks);
  if (dinodeIsNrext64(v, 0)) setU64(v, DINODE64.at.nextents, extents);
  else v.setUint32(DINODE.at.nextents, extents);
  sealCrc(bytes, DINODE.at.crc);
  volume.source.write(inodeOffset(g, ino), bytes);
  volume.cache.clear();
}
