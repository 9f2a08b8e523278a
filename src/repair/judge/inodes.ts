/** Link counts, connectivity, unlinked lists, block counts: what inodes and directories say of each other. */
import { FTYPE } from '../../format/dir.js';
import type { Fault } from '../../format/fault.js';
import { INODES_PER_CHUNK, inoOf } from '../../format/geometry.js';
import { NULLAGINO } from '../../format/superblock.js';
import { type Finding, findingOfFault } from '../finding.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { judgeEntries } from './entries.js';
import type { JudgedRun } from './judge.js';
import type { Paths } from './paths.js';

export function judgeInodes(
  o: Observation,
  judged: readonly JudgedRun[],
  paths: Paths,
  out: Finding[],
): void {
  const { table, volume, inodes } = o;
  const { g } = volume;
  followUnlinked(o, out);
  const push = (code: string, ino: number, message: string, action: string): void => {
    out.push({ code, severity: 'damage', ino, path: paths.text(ino), message, action });
  };
  for (const { slot, stored, found } of inodes.blockCounts) {
    const ino = table.ino(slot);
    // A claim that is corrupt is no block of the file's: without it the count may be right.
    let corrupt = 0;
    for (const { run, verdict } of judged)
      run.claims.forEach((c, i) => {
        if (c.slot === slot && verdict.claims[i] !== 'kept') corrupt += run.blocks;
      });
    if (found - corrupt === stored) continue;
    const message = `inode ${ino}: nblocks is ${stored}, and its forks hold ${found - corrupt}`;
    push('inode.blocks', ino, message, `set it to ${found - corrupt}`);
  }
  for (const { dir, ino, name } of inodes.dangling) {
    const at = table.ino(dir);
    const text = JSON.stringify(Buffer.from(name).toString('utf8'));
    push(
      'directory.entry',
      at,
      `directory ${at}: entry ${text} names inode ${ino}, which does not exist`,
      'remove the entry',
    );
  }
  const root = table.slot(g.rootino);
  for (const slot of [root, ...o.systemSlots])
    if (slot >= 0 && (table.flags[slot] & SLOT.USED) === 0)
      out.push(findingOfFault(freeFault(table.ino(slot))));
  judgeEntries(o, root, (dir, message, action) => push('directory.entry', dir, message, action));
  // Subdirectories by the directory that holds them: each gives its holder a link through '..'.
  const slots = table.chunks * INODES_PER_CHUNK;
  const subdirs = new Uint32Array(slots);
  for (let slot = 0; slot < slots; slot++)
    if (table.type[slot] === FTYPE.DIR && (table.flags[slot] & SLOT.USED) !== 0 && table.heldBy[slot] >= 0)
      subdirs[table.heldBy[slot]]++;
  for (let slot = 0; slot < slots; slot++) {
    const flags = table.flags[slot];
    const entries = table.entries.count[slot];
    if ((flags & (SLOT.USED | SLOT.SYSTEM)) !== SLOT.USED) continue;
    const type = table.type[slot];
    const isDir = type === FTYPE.DIR;
    const ino = table.ino(slot);
    const isRoot = slot === root;
    if (entries === 0 && !isRoot) {
      if ((flags & SLOT.UNLINKED) === 0)
        push('inode.lost', ino, `inode ${ino} is in use and nothing leads to it`, 'put it into lost+found');
      continue;
    }
    const links = isDir ? 2 + subdirs[slot] : entries;
    if (table.nlink[slot] !== links)
      push(
        'inode.links',
        ino,
        `inode ${ino}: link count is ${table.nlink[slot]}, and there are ${links} links`,
        `set it to ${links}`,
      );
    if (isDir) {
      const parent = inodes.parent.get(slot);
      const holder = isRoot ? ino : table.ino(table.heldBy[slot]);
      if (parent !== holder)
        push(
          'directory.parent',
          ino,
          `directory ${ino}: ".." is ${parent ?? 'missing'}, and ${holder} holds it`,
          'set ".."',
        );
    }
  }
  findLoops(o, root, push);
  judgeParents(o, push);
}

/** Each entry has its parent pointer in the inode it names, and there is no other. */
function judgeParents(
  o: Observation,
  push: (code: string, ino: number, message: string, action: string) => void,
): void {
  const { table } = o;
  const { parents } = table.entries;
  for (let slot = 0; slot < parents.length; slot++) {
    if (parents[slot] === 0 || (table.flags[slot] & (SLOT.USED | SLOT.SYSTEM)) !== SLOT.USED) continue;
    const ino = table.ino(slot);
    const message = `inode ${ino}: its parent pointers are not the directory entries that name it`;
    push('parent.pointer', ino, message, 'make them the same: a name that the link count misses is restored');
  }
}

/** An inode that the superblock names and the inobt calls free. */
const freeFault = (ino: number): Fault => ({
  structure: 'dinode',
  ino,
  field: 'mode',
  value: 'free',
  expected: 'an inode in use: the superblock names it',
});

/** Directories that hold each other in a ring have names and parents, and no way to the root. */
function findLoops(
  o: Observation,
  root: number,
  push: (code: string, ino: number, message: string, action: string) => void,
): void {
  const { table } = o;
  const slots = table.chunks * INODES_PER_CHUNK;
  /** 1: leads to the root, or its trouble is reported; 2: on the way being followed. */
  const state = new Uint8Array(slots);
  if (root >= 0) state[root] = 1;
  const way: number[] = [];
  for (let slot = 0; slot < slots; slot++) {
    if (table.type[slot] !== FTYPE.DIR || (table.flags[slot] & (SLOT.USED | SLOT.SYSTEM)) !== SLOT.USED)
      continue;
    way.length = 0;
    let at = slot;
    while (at >= 0 && state[at] === 0) {
      state[at] = 2;
      way.push(at);
      at = table.heldBy[at];
    }
    if (at >= 0 && state[at] === 2) {
      const ino = table.ino(at);
      push(
        'inode.lost',
        ino,
        `directory ${ino} holds itself, by way of its subdirectories`,
        'put it into lost+found',
      );
    }
    for (const s of way) state[s] = 1;
  }
}

/** Follows every unlinked list and marks who is on it. */
function followUnlinked(o: Observation, out: Finding[]): void {
  const { table, volume, inodes } = o;
  const { g } = volume;
  for (const { agno, unlinked } of o.ags) {
    for (const head of unlinked) {
      let agino = head;
      while (agino !== NULLAGINO) {
        const ino = inoOf(g, agno, agino);
        const slot = table.slot(ino);
        const flags = slot < 0 ? 0 : table.flags[slot];
        const open = (flags & SLOT.USED) !== 0 && inodes.nextUnlinked.has(slot);
        if (!open || (flags & SLOT.UNLINKED) !== 0) {
          out.push({
            code: 'agi.value',
            severity: 'damage',
            agno,
            ino,
            message: `AG ${agno}: an unlinked list leads to inode ${ino}, which is ${flags & SLOT.UNLINKED ? 'on a list already' : 'not one in use without a name'}`,
            action: 'empty the lists',
          });
          break;
        }
        table.flags[slot] |= SLOT.UNLINKED;
        agino = inodes.nextUnlinked.get(slot) ?? NULLAGINO;
      }
    }
  }
}
