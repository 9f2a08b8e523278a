/**
 * Directory entries that cannot be true. The scan counts entries only; where the counts say that something is
 * wrong with an inode's names, directories are read once more for who gives it which.
 */
import { FTYPE, FTYPE_NAME } from '../../format/dir.js';
import { CorruptionError } from '../../format/fault.js';
import { bytesToText } from '../../format/text.js';
import { walkDir } from '../../volume/dir.js';
import { readInode } from '../../volume/inode.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';

/** An entry: the directory's slot, its name, the type it gives. */
export interface Entry {
  readonly dir: number;
  readonly name: string;
  readonly ftype: number;
}

/** Takes an entry that is wrong: the directory's inode number, what is wrong, what is done about it. */
export type SayWrong = (dir: number, message: string, action: string) => void;

/**
 * Says which entries are wrong, and settles who holds a directory that has several names: the one its '..' names.
 */
export function judgeEntries(o: Observation, root: number, say: SayWrong): void {
  const suspects = new Map<number, Entry[]>();
  const { table, volume } = o;
  const { count, types } = table.entries;
  for (let slot = 0; slot < count.length; slot++) {
    if (count[slot] === 0) continue;
    const inUse = (table.flags[slot] & (SLOT.USED | SLOT.SYSTEM)) === SLOT.USED;
    const isDir = table.type[slot] === FTYPE.DIR;
    const known = volume.g.features.ftype && table.type[slot] !== FTYPE.UNKNOWN;
    const misnamed = known && (types[slot] & ~(1 << table.type[slot])) !== 0;
    if (!inUse || misnamed || (isDir && (count[slot] > 1 || slot === root))) suspects.set(slot, []);
  }
  if (suspects.size === 0) return;
  gatherEntries(o, suspects);
  for (const [slot, entries] of suspects) judgeNames(o, slot, slot === root, entries, say);
}

/** Reads all directories for the entries that name these inodes, given and kept by slot. */
export function gatherEntries(o: Observation, suspects: ReadonlyMap<number, Entry[]>): void {
  const { table, volume } = o;
  for (let dir = 0; dir < table.flags.length; dir++) {
    const isDir = table.type[dir] === FTYPE.DIR;
    if (!isDir || (table.flags[dir] & (SLOT.USED | SLOT.SYSTEM)) !== SLOT.USED) continue;
    try {
      walkDir(
        volume,
        readInode(volume, table.ino(dir), { verify: false }),
        (block, from, to, ino, ftype) => {
          const name = bytesToText(block.subarray(from, to));
          if (name !== '.' && name !== '..') suspects.get(table.slot(ino))?.push({ dir, name, ftype });
        },
        { report: () => {} },
      );
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
    }
  }
}

function judgeNames(o: Observation, slot: number, isRoot: boolean, entries: Entry[], say: SayWrong): void {
  const { table, volume, inodes } = o;
  const ino = table.ino(slot);
  const flags = table.flags[slot];
  const type = table.type[slot];
  const gives = (e: Entry): string =>
    `directory ${table.ino(e.dir)}: entry ${JSON.stringify(e.name)} names inode ${ino}`;
  const refuse = (e: Entry, why: string): void =>
    say(table.ino(e.dir), `${gives(e)}, ${why}`, 'remove the entry');
  if ((flags & SLOT.USED) === 0) for (const e of entries) refuse(e, 'which is free');
  else if (flags & SLOT.SYSTEM) for (const e of entries) refuse(e, 'which the superblock names');
  else if (isRoot) for (const e of entries) refuse(e, 'the root');
  else {
    const parent = inodes.parent.get(slot);
    const worth = (e: Entry): number =>
      (table.ino(e.dir) === parent ? 2 : 0) + (e.ftype === FTYPE.DIR ? 1 : 0);
    const isDir = type === FTYPE.DIR;
    const [holder] = isDir ? [...entries].sort((a, b) => worth(b) - worth(a)) : [];
    if (holder !== undefined) table.heldBy[slot] = holder.dir;
    for (const e of entries) {
      if (isDir && e !== holder) refuse(e, 'a directory that is held elsewhere');
      else if (volume.g.features.ftype && e.ftype !== type) {
        const given = FTYPE_NAME[e.ftype] ?? 'thing of no known type';
        const message = `${gives(e)} and calls it a ${given}, and it is a ${FTYPE_NAME[type]}`;
        const more = !isDir && table.entries.count[slot] > table.nlink[slot];
        say(table.ino(e.dir), message, more ? 'remove the entry' : 'set the type in the entry');
      }
    }
  }
}
