/**
 * Directories written anew from the names that can still be read: what is wrong in their blocks, their index,
 * their entries or '..' goes with the old form. Names that lead nowhere are left out.
 */
import { type DirEntries, planDir, shortFormDir, writeDir } from '../../build/dir.js';
import { FORK_FORMAT } from '../../format/dinode.js';
import { FTYPE } from '../../format/dir.js';
import { bytesToText } from '../../format/text.js';
import { parentPointer, walkAttrs } from '../../volume/attr.js';
import { readInode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { salvageNames } from './dirsalvage.js';
import type { LostFound } from './lostfound.js';
import { buildNewFork, replaceFork, takeBlocks, targetOf } from './newfork.js';
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

/** Whether a directory has to be written anew: for what stands in it, or a size its blocks do not go with. */
const callsForNew = ({ code, evidence }: Finding): boolean =>
  ENTRY_CODES.some((c) => code.startsWith(c)) || (code === 'dinode.value' && evidence?.field === 'size');

/** Directories that findings call for, and inodes that nothing leads to. */
export class DirEdits {
  readonly #o: Observation;
  readonly #dirs = new Set<number>();
  readonly #lost: number[] = [];
  /** Files that say they have one more name than there is. */
  readonly #short: number[] = [];

  constructor(o: Observation, findings: readonly Finding[]) {
    this.#o = o;
    for (const f of findings) {
      if (f.ino === undefined || f.severity !== 'damage') continue;
      const slot = o.table.slot(f.ino);
      const usable = slot >= 0 && (o.table.flags[slot] & (SLOT.USED | SLOT.DOUBTFUL)) === SLOT.USED;
      if (!usable) continue;
      if (f.code === 'inode.lost') this.#lost.push(f.ino);
      else if (f.code === 'inode.links') {
        const misses = o.table.nlink[slot] === o.table.entries.count[slot] + 1;
        if (misses && o.table.type[slot] !== FTYPE.DIR) this.#short.push(f.ino);
      } else if (o.table.type[slot] === FTYPE.DIR && callsForNew(f)) this.#dirs.add(f.ino);
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
    const dangling: Dangling[] = [];
    const lists = new Map<number, EntryList>();
    const listOf = (ino: number): EntryList => {
      let list = lists.get(ino);
      if (list === undefined) {
        list = readableEntries(this.#o, volume, ino, dangling);
        lists.set(ino, list);
      }
      return list;
    };
    for (const ino of this.#dirs) listOf(ino);
    // What only a damaged directory leads to is not lost when that is written anew.
    const led = new Set([...lists.values()].flatMap((list) => list.ino));
    const lost = this.#lost.filter((ino) => !led.has(ino));
    const names = namesOfLost(this.#o, volume, lost, this.#short, dangling);
    const parents = new Map<number, number>();
    for (const ino of lost) {
      const ftype = table.type[table.slot(ino)];
      const at = names.get(ino);
      if (at !== undefined && listOf(at.dir).add(at.name, ino, ftype)) parents.set(ino, at.dir);
      else lostFound.add(ino, ftype, String(ino));
    }
    for (const ino of this.#short) {
      const at = names.get(ino);
      if (at !== undefined) listOf(at.dir).add(at.name, ino, table.type[table.slot(ino)]);
    }
    for (const [ino, list] of lists) {
      const holder = table.heldBy[table.slot(ino)];
      const above = parents.get(ino) ?? (holder < 0 ? volume.g.rootino : table.ino(holder));
      writeDirectory(volume, space, ino, list, ino === volume.g.rootino ? ino : above);
    }
    lostFound.write(volume, space);
  }
}

/**
 * Where lost inodes were: by their parent pointers, or because exactly one name has lost its inode and exactly
 * one inode of its type its name, or one of its names.
 */
function namesOfLost(
  o: Observation,
  volume: Volume,
  lost: readonly number[],
  short: readonly number[],
  dangling: readonly Dangling[],
): Map<number, { dir: number; name: Uint8Array }> {
  const { table, inodes } = o;
  const out = new Map<number, { dir: number; name: Uint8Array }>();
  if (volume.g.features.parent)
    for (const ino of lost) {
      const at = namedParent(o, volume, ino);
      if (at !== undefined) out.set(ino, at);
    }
  const left = [...lost, ...short].filter((ino) => !out.has(ino));
  for (const d of dangling) {
    const same = (other: Dangling): boolean => other.ftype === d.ftype;
    const fits = left.filter((ino) => {
      const slot = table.slot(ino);
      return table.type[slot] === d.ftype && (d.ftype !== FTYPE.DIR || inodes.parent.get(slot) === d.dir);
    });
    const rivals = dangling.filter((other) => same(other) && (d.ftype !== FTYPE.DIR || other.dir === d.dir));
    if (fits.length === 1 && rivals.length === 1) out.set(fits[0], d);
  }
  return out;
}

/** Directory and name that a parent pointer of the inode gives, where that directory is in use. */
function namedParent(
  o: Observation,
  volume: Volume,
  ino: number,
): { dir: number; name: Uint8Array } | undefined {
  const { table } = o;
  let found: { dir: number; name: Uint8Array } | undefined;
  walkAttrs(
    volume,
    readInode(volume, ino, { verify: false }),
    (attribute) => {
      const pointer = parentPointer(attribute);
      if (pointer === undefined) return;
      const slot = table.slot(pointer.ino);
      if (slot < 0 || table.type[slot] !== FTYPE.DIR || (table.flags[slot] & SLOT.USED) === 0) return;
      if (readInode(volume, pointer.ino, { verify: false }).generation !== pointer.generation) return;
      found = { dir: pointer.ino, name: pointer.name.slice() };
      return false;
    },
    { report: () => {} },
  );
  return found;
}

/** A name whose inode is not there. */
interface Dangling {
  readonly dir: number;
  readonly name: Uint8Array;
  readonly ftype: number;
}

/**
 * What can be read of a directory: names that may be names, of inodes in use. Names of others go to `dangling`.
 */
export function readableEntries(
  o: Observation,
  volume: Volume,
  ino: number,
  dangling?: Dangling[],
): EntryList {
  const { table, inodes } = o;
  const self = table.slot(ino);
  const list = new EntryList();
  // One that nobody holds is held here if it says so itself.
  const isHeldHere = (slot: number): boolean =>
    table.heldBy[slot] < 0 ? inodes.parent.get(slot) === ino : table.heldBy[slot] === self;
  // Subdirectories this directory has given a name already.
  const given = new Set<number>();
  salvageNames(volume, ino, (name, child, ftype) => {
    const slot = table.slot(child);
    const used = slot >= 0 && (table.flags[slot] & (SLOT.USED | SLOT.SYSTEM)) === SLOT.USED;
    // A directory has one name, in the directory that holds it. What a name calls otherwise than the others do is
    // not what it means, where the inode has names enough without it.
    const elsewhere =
      used &&
      (table.type[slot] === FTYPE.DIR
        ? !isHeldHere(slot) || child === volume.g.rootino || given.has(slot)
        : ftype !== table.type[slot] &&
          ftype !== FTYPE.UNKNOWN &&
          table.entries.count[slot] > table.nlink[slot]);
    if (!used || elsewhere) dangling?.push({ dir: ino, name: name.slice(), ftype });
    else if (list.add(name, child, table.type[slot])) given.add(slot);
  });
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
  const room = readInode(volume, ino, { verify: false }).dataSize;
  const plan = planDir(g, entries, parent, room);
  const { size } = plan;
  if (plan.form === 'short') {
    const bytes = shortFormDir(g, entries, parent);
    replaceFork(volume, space, ino, 'data', {
      format: FORK_FORMAT.LOCAL,
      bytes,
      extents: 0,
      blocks: 0,
      size,
    });
    return;
  }
  const list = takeBlocks(volume, space, ino, 'data', plan.blocks);
  writeDir(g, ino, parent, entries, plan, targetOf(volume, list));
  const built = buildNewFork(volume, space, { ino, fork: 'data' }, list, room);
  replaceFork(volume, space, ino, 'data', { ...built, blocks: list.total + built.treeBlocks, size });
}
