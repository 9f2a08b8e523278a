/**
 * Extents saved from a bmbt that does not verify: a block is read on if most of what says that it is the
 * inode's holds, and the number of its records is held against what the inode counts.
 */
import { sameUuid } from '../../format/ag.js';
import { BTREES, LONG_BLOCK, maxRecords, ptrAt, recordAt } from '../../format/btree.js';
import { crcHolds } from '../../format/checksum.js';
import { extentBlocks, extentFsblock, extentOffset, extentUnwritten } from '../../format/extent.js';
import {
  agbnoOfFsblock,
  agnoOfFsblock,
  firstFreeAgbno,
  fsblockOffset,
  isFsRange,
} from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { type ForkName, forkExtents, forkTree, isFileRange } from '../../volume/fork.js';
import type { Inode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';

/** An extent of a fork. */
export interface SavedExtent {
  readonly offset: number;
  readonly fsblock: number;
  readonly blocks: number;
  readonly unwritten: boolean;
}

/** Signs of a block that must hold, of seven. */
const SIGNS = 5;

/** All extents of a fork in btree format that can be believed, in file order. */
export function salvageBmbt(volume: Volume, inode: Inode, fork: ForkName): SavedExtent[] {
  const tree = forkTree(volume.g, inode, fork, () => {});
  if (tree === undefined) return [];
  const salvage = new BmbtSalvage(volume, inode.ino);
  for (const root of tree.roots) salvage.visit(root, tree.levels - 1);
  return salvage.finish(forkExtents(inode, fork));
}

class BmbtSalvage {
  readonly #volume: Volume;
  readonly #ino: number;
  readonly #seen = new Set<number>();
  readonly #leaves: { extents: SavedExtent[]; stored: number }[] = [];

  constructor(volume: Volume, ino: number) {
    this.#volume = volume;
    this.#ino = ino;
  }

  visit(fsblock: number, level: number): void {
    const { g } = this.#volume;
    if (this.#seen.has(fsblock) || !isFsRange(g, fsblock, 1)) return;
    this.#seen.add(fsblock);
    const v = this.#volume.block(agnoOfFsblock(g, fsblock), agbnoOfFsblock(g, fsblock));
    const A = LONG_BLOCK.at;
    const numrecs = v.getUint16(A.numrecs);
    const most = maxRecords(BTREES.bmbt, g.blocksize, level);
    const signs = [
      v.getUint32(A.magic) === BTREES.bmbt.magic,
      v.getUint16(A.level) === level,
      numrecs > 0 && numrecs <= most,
      crcHolds(bytesOf(v), A.crc),
      sameUuid(g, bytesOf(v), A.uuid),
      getU64(v, A.owner) === this.#ino,
      getU64(v, A.bno) === fsblockOffset(g, fsblock) / 512,
    ];
    if (signs.filter((s) => s).length < SIGNS) return;
    if (level === 0) {
      this.#leaves.push({ extents: this.#records(v, most), stored: numrecs });
      return;
    }
    // Pointers behind the last are of blocks that are no more: they do not look like the inode's.
    for (let i = 0; i < Math.min(numrecs, most); i++)
      this.visit(getU64(v, ptrAt(BTREES.bmbt, g.blocksize, i)), level - 1);
  }

  /** Records from the first on, as long as they can be true one after another. */
  #records(v: DataView, most: number): SavedExtent[] {
    const { g } = this.#volume;
    const out: SavedExtent[] = [];
    let end = 0;
    for (let i = 0; i < most; i++) {
      const at = recordAt(BTREES.bmbt, i);
      const [offset, fsblock, blocks] = [extentOffset(v, at), extentFsblock(v, at), extentBlocks(v, at)];
      const possible =
        blocks > 0 &&
        offset >= end &&
        isFileRange(g, offset, blocks) &&
        isFsRange(g, fsblock, blocks) &&
        agbnoOfFsblock(g, fsblock) >= firstFreeAgbno(g);
      // A record that cannot be true keeps its place: the count of the block goes by it.
      out.push({ offset, fsblock, blocks: possible ? blocks : 0, unwritten: extentUnwritten(v, at) });
      if (possible) end = offset + blocks;
    }
    return out;
  }

  /** `counted` is what the inode says of all leaves together: it tells the count of one that cannot be right. */
  finish(counted: number): SavedExtent[] {
    const sum = this.#leaves.reduce((n, l) => n + Math.min(l.stored, l.extents.length), 0);
    const out: SavedExtent[] = [];
    let end = 0;
    for (const { extents, stored } of this.#leaves) {
      let n = Math.min(stored, extents.length);
      const odd = stored === 0 || stored > extents.length || extents.slice(0, n).some((e) => e.blocks === 0);
      const right = n + counted - sum;
      if (sum !== counted && (odd || this.#leaves.length === 1) && right > 0 && right <= extents.length)
        n = right;
      for (const e of extents.slice(0, n)) {
        if (e.blocks === 0 || e.offset < end) continue;
        out.push(e);
        end = e.offset + e.blocks;
      }
    }
    return out;
  }
}
