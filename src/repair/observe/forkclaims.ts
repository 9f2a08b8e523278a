/** The blocks that an inode's forks map, entered as claims. */
import { BTREES, LONG_BLOCK, recordAt } from '../../format/btree.js';
import {
  attrForkAt,
  attrForkSize,
  DINODE_SIZE,
  dataForkSize,
  dinodeNaextents,
  dinodeNextents,
  FORK_FORMAT,
} from '../../format/dinode.js';
import {
  EXTENT_SIZE,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
} from '../../format/extent.js';
import { agLength, type Geometry } from '../../format/geometry.js';
import { walkBlocks } from '../../volume/btree.js';
import { type ForkName, forkTree, maxFileBlock, walkExtents } from '../../volume/fork.js';
import { Inode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import { CLAIM, type Claims } from './columns.js';
import type { FaultLog } from './faultlog.js';

export class ForkClaims {
  readonly #volume: Volume;
  readonly #g: Geometry;
  /** One set for each AG of the filesystem. */
  readonly #claims: readonly Claims[];
  readonly #log: FaultLog;
  readonly #agShift: number;
  readonly #lengths: Float64Array;
  readonly #maxBlock: number;
  /** Set where a fork lists an extent that cannot be; whoever asks sets it back. */
  odd = false;

  constructor(volume: Volume, claims: readonly Claims[], log: FaultLog) {
    const { g } = volume;
    this.#volume = volume;
    this.#g = g;
    this.#claims = claims;
    this.#log = log;
    this.#agShift = 2 ** g.agblklog;
    this.#maxBlock = maxFileBlock(g);
    this.#lengths = Float64Array.from({ length: g.agcount }, (_, agno) => agLength(g, agno));
  }

  /**
   * Enters a fork's blocks as claims with the bits `info`; returns their number, those of its btree included.
   * The inode stands at `base` of `v`, its slot in the table is `slot`.
   */
  enter(
    v: DataView,
    base: number,
    ino: number,
    slot: number,
    fork: ForkName,
    format: number,
    info: number,
  ): number {
    if (format === FORK_FORMAT.BTREE) return this.#btreeFork(this.#inode(v, base, ino), slot, fork, info);
    const data = fork === 'data';
    const n = data ? dinodeNextents(v, base) : dinodeNaextents(v, base);
    if (n === 0) return 0;
    const { inodesize } = this.#g;
    const size = data ? dataForkSize(v, base, inodesize) : attrForkSize(v, base, inodesize);
    let at = data ? base + DINODE_SIZE : base + attrForkAt(v, base);
    let end = 0;
    let total = 0;
    if (n * EXTENT_SIZE > size) return this.#oddFork(this.#inode(v, base, ino), slot, fork, info);
    for (let i = 0; i < n; i++, at += EXTENT_SIZE) {
      const offset = extentOffset(v, at);
      const blocks = extentBlocks(v, at);
      const taken = offset < end ? false : this.#claim(slot, v, at, offset, blocks, info);
      if (!taken) {
        this.#oddFork(this.#inode(v, base, ino), slot, fork, info, i);
        return total;
      }
      end = offset + blocks;
      total += blocks;
    }
    return total;
  }

  #inode(v: DataView, base: number, ino: number): Inode {
    return new Inode(ino, v, base, this.#g.inodesize);
  }

  /** Enters one extent; false where it cannot be true. */
  #claim(slot: number, v: DataView, at: number, offset: number, blocks: number, info: number): boolean {
    const fsblock = extentFsblock(v, at);
    const agno = Math.floor(fsblock / this.#agShift);
    if (agno >= this.#lengths.length) return false;
    const agbno = fsblock - agno * this.#agShift;
    if (blocks === 0 || agbno + blocks > this.#lengths[agno] || offset > this.#maxBlock - blocks)
      return false;
    const unwritten = extentUnwritten(v, at);
    if (unwritten && info & CLAIM.ATTR) return false;
    this.#claims[agno].add(agbno, blocks, slot, offset, unwritten ? info | CLAIM.UNWRITTEN : info);
    return true;
  }

  /**
   * A fork in which some extent cannot be true: says which, and enters those that can be (the first `skip` are
   * in already).
   */
  #oddFork(inode: Inode, slot: number, fork: ForkName, info: number, skip = 0): number {
    let total = 0;
    let index = 0;
    const g = this.#g;
    this.odd = true;
    walkExtents(
      this.#volume,
      inode,
      fork,
      (offset, fsblock, blocks, unwritten) => {
        if (index++ < skip) return;
        const agno = Math.floor(fsblock / this.#agShift);
        const agbno = fsblock - agno * this.#agShift;
        if (agno >= g.agcount) return;
        this.#claims[agno].add(agbno, blocks, slot, offset, unwritten ? info | CLAIM.UNWRITTEN : info);
        total += blocks;
      },
      this.#log.report,
    );
    return total;
  }

  /** A fork in btree format: its blocks and its extents in one walk. */
  #btreeFork(inode: Inode, slot: number, fork: ForkName, info: number): number {
    const { report } = this.#log;
    const tree = forkTree(this.#g, inode, fork, report);
    if (tree === undefined) return 0;
    let total = 0;
    let count = 0;
    let end = 0;
    const owner = (info & (CLAIM.ATTR | CLAIM.DOUBTFUL)) | CLAIM.BMBT;
    walkBlocks(
      this.#volume,
      tree,
      (block, level, agno, agbno) => {
        total++;
        this.#claims[agno].add(agbno, 1, slot, 0, owner);
        if (level > 0) return;
        const numrecs = block.getUint16(LONG_BLOCK.at.numrecs);
        for (let i = 0; i < numrecs; i++) {
          const at = recordAt(BTREES.bmbt, i);
          const offset = extentOffset(block, at);
          const blocks = extentBlocks(block, at);
          count++;
          if (offset < end || !this.#claim(slot, block, at, offset, blocks, info)) {
            const field = `recs[${i + 1}]`;
            const value = `offset ${offset}, ${blocks} blocks from fsblock ${extentFsblock(block, at)}`;
            const expected = `blocks inside one AG, at file block ${end} or later`;
            report({ structure: 'bmbt', ino: inode.ino, agno, agbno, field, value, expected });
            this.odd = true;
            continue;
          }
          end = offset + blocks;
          total += blocks;
        }
      },
      report,
    );
    const stored = fork === 'data' ? inode.nextents : inode.naextents;
    if (count !== stored && this.#log.clean)
      report({
        structure: 'dinode',
        ino: inode.ino,
        field: fork === 'data' ? 'nextents' : 'naextents',
        value: stored,
        expected: `${count}, the extents found`,
      });
    return total;
  }
}
