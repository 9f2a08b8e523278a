/**
 * Mappings of two files that the log announced to be exchanged, and that were exchanged only in part: extent by
 * extent, each step with an intent for what is left, so that a cut never has one done twice. Rules:
 * xfs_exchmaps.c, xfs_exchmaps_item.c.
 */
import { DIFLAG2, FORK_FORMAT } from '../../format/dinode.js';
import { EXCHMAPS, LI, XMI_LOG_FORMAT } from '../../format/logitems.js';
import { viewOf } from '../../format/structure.js';
import { LogError } from '../../journal/error.js';
import { u64Of } from '../../journal/items.js';
import type { OpenIntent } from '../../journal/status.js';
import { type ForkName, forkFormat } from '../../volume/fork.js';
import { type Extent, forkMap, indexAt, mapExtent, unmapExtent } from '../bmap.js';
import { finishIntentBy } from '../defer.js';
import type { Engine } from '../engine.js';
import type { LiveInode } from '../inode.js';
import { Intent } from '../items.js';
import type { Transaction } from '../transaction.js';

/** What is left to be exchanged. */
interface Exchange {
  readonly inodes: readonly [number, number];
  readonly generations: readonly [number, number];
  /** File blocks. */
  readonly from: readonly [number, number];
  readonly blocks: number;
  readonly flags: number;
  /** Sizes the files get in the end, where the flags say so. */
  readonly sizes: readonly [number, number];
}

const KNOWN = Object.values(EXCHMAPS).reduce((all, bit) => all | bit, 0);

/** Does what is left of an XMI. Throws LogError for one that cannot be true. */
export function finishExchange(engine: Engine, adopted: Intent, { item, lsn }: OpenIntent): void {
  const u64 = (at: number): number => u64Of(item.data, item.start(0) + at, item.littleEndian);
  const { at } = XMI_LOG_FORMAT;
  const bad = (what: string): never => {
    throw new LogError(lsn, `XMI item of inodes ${u64(at.inode1)} and ${u64(at.inode2)}: ${what}`);
  };
  const sized = (u64(at.flags) & EXCHMAPS.SET_SIZES) !== 0;
  let x: Exchange = {
    inodes: [u64(at.inode1), u64(at.inode2)],
    generations: [item.u32(at.igen1), item.u32(at.igen2)],
    from: [u64(at.startoff1), u64(at.startoff2)],
    blocks: u64(at.blockcount),
    flags: u64(at.flags),
    sizes: sized ? [u64(at.isize1), u64(at.isize2)] : [0, 0],
  };
  if (x.flags > KNOWN) bad(`flags 0x${x.flags.toString(16)}`);
  if (x.blocks > 2 ** 54 || x.from.some((offset) => offset + x.blocks > 2 ** 54))
    bad(`${x.blocks} blocks from ${x.from.join(' and ')} on`);
  const fork: ForkName = (x.flags & EXCHMAPS.ATTR_FORK) !== 0 ? 'attr' : 'data';
  const files = [0, 1].map((i) => {
    const inode = engine.inode(x.inodes[i]);
    if (inode.generation !== x.generations[i]) bad(`inode ${inode.ino} has generation ${inode.generation}`);
    const format = forkFormat(inode, fork);
    if (format !== FORK_FORMAT.EXTENTS && format !== FORK_FORMAT.BTREE)
      bad(`the ${fork} fork of inode ${inode.ino} has no mappings`);
    return inode;
  });
  let intent = adopted;
  for (;;) {
    let next: Intent | undefined;
    finishIntentBy(engine, intent, (tx) => {
      x = step(tx, files[0], files[1], fork, x);
      if (x.blocks === 0) {
        complete(tx, files, x);
        return;
      }
      next = intentOf(engine, x);
      tx.intent(next);
    });
    if (next === undefined) return;
    intent = next;
  }
}

/** What is mapped from `from` on, or the hole there, up to `limit` blocks. */
function runAt(
  tx: Transaction,
  inode: LiveInode,
  fork: ForkName,
  from: number,
  limit: number,
): { blocks: number; extent: Extent | undefined } {
  const { extents } = forkMap(tx, inode, fork);
  const e = extents[indexAt(extents, from)];
  if (e === undefined) return { blocks: limit, extent: undefined };
  if (e.offset > from) return { blocks: Math.min(limit, e.offset - from), extent: undefined };
  const skip = from - e.offset;
  const blocks = Math.min(limit, e.blocks - skip);
  return { blocks, extent: { ...e, offset: from, fsblock: e.fsblock + skip, blocks } };
}

/** Exchanges the next mapping there is; returns what is left after it. */
function step(tx: Transaction, one: LiveInode, two: LiveInode, fork: ForkName, x: Exchange): Exchange {
  let [from1, from2] = x.from;
  let left = x.blocks;
  while (left > 0) {
    const a = runAt(tx, one, fork, from1, left);
    const skip = (x.flags & EXCHMAPS.INO1_WRITTEN) !== 0 && (a.extent === undefined || a.extent.unwritten);
    const b = skip ? undefined : runAt(tx, two, fork, from2, a.blocks);
    const blocks = b?.blocks ?? a.blocks;
    const isWork = b !== undefined && (a.extent !== undefined || b.extent !== undefined);
    if (isWork) {
      if (a.extent !== undefined) unmapExtent(tx, one, fork, from1, blocks, 'keep');
      if (b.extent !== undefined) unmapExtent(tx, two, fork, from2, blocks, 'keep');
      if (b.extent !== undefined) mapExtent(tx, one, fork, { ...b.extent, offset: from1, blocks });
      if (a.extent !== undefined) mapExtent(tx, two, fork, { ...a.extent, offset: from2, blocks });
    }
    from1 += blocks;
    from2 += blocks;
    left -= blocks;
    if (isWork) break;
  }
  return { ...x, from: [from1, from2], blocks: left };
}

/** What follows when all is exchanged. */
function complete(tx: Transaction, files: readonly LiveInode[], { flags, sizes }: Exchange): void {
  files.forEach((inode, i) => {
    tx.editInode(inode);
    if ((flags & EXCHMAPS.SET_SIZES) !== 0) inode.setSize(sizes[i]);
    if ((flags & (i === 0 ? EXCHMAPS.CLEAR_INO1_REFLINK : EXCHMAPS.CLEAR_INO2_REFLINK)) !== 0)
      inode.setFlags2(inode.flags2 & ~DIFLAG2.REFLINK);
  });
}

function intentOf(engine: Engine, x: Exchange): Intent {
  const id = engine.nextIntentId();
  const region = new Uint8Array(XMI_LOG_FORMAT.size);
  XMI_LOG_FORMAT.encode(
    viewOf(region),
    0,
    {
      type: LI.XMI,
      size: 1,
      id,
      inode1: x.inodes[0],
      inode2: x.inodes[1],
      igen1: x.generations[0],
      igen2: x.generations[1],
      startoff1: x.from[0],
      startoff2: x.from[1],
      blockcount: x.blocks,
      flags: x.flags,
      isize1: x.sizes[0],
      isize2: x.sizes[1],
    },
    true,
  );
  return new Intent(LI.XMI, id, region);
}
