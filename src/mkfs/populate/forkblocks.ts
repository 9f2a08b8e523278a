/** Blocks given to forks: taken, written, and noted as their owner's. */
import type { ExtentColumns, ForkTarget, TreeSpace } from '../../build/fork.js';
import { fsblockOffset, type Geometry } from '../../format/geometry.js';
import type { Output } from './output.js';
import type { Space } from './space.js';

/** Flags of an owner's record: the attribute fork's blocks, and those of a btree. */
export const OWNED = { BMBT: 1, ATTR: 2 } as const;

export class ForkBlocks {
  readonly g: Geometry;
  readonly space: Space;
  readonly output: Output;

  constructor(g: Geometry, space: Space, output: Output) {
    this.g = g;
    this.space = space;
    this.output = output;
  }

  /** Maps `count` blocks at file block `offset`, in as few pieces as there are. */
  take(list: ExtentColumns, offset: number, count: number): void {
    for (let done = 0; done < count; ) {
      const piece = this.space.take(count - done);
      list.add(offset + done, piece.fsblock, piece.blocks);
      done += piece.blocks;
    }
  }

  /** Writes whole blocks over what the list maps there. */
  write(list: ExtentColumns, fileBlock: number, bytes: Uint8Array): void {
    const { blocksize } = this.g;
    for (let done = 0; done < bytes.length; ) {
      const at = fileBlock + done / blocksize;
      const from = list.find(at);
      if (from === undefined) throw new RangeError(`file block ${at} is not mapped`);
      let n = blocksize;
      while (done + n < bytes.length && list.find(at + n / blocksize) === from + n / blocksize)
        n += blocksize;
      this.output.write(fsblockOffset(this.g, from), bytes.subarray(done, done + n));
      done += n;
    }
  }

  /** Where the blocks of a fork are, by their place in it. */
  target(list: ExtentColumns): ForkTarget {
    return {
      daddr: (fileBlock) => fsblockOffset(this.g, list.find(fileBlock) as number) / 512,
      emit: (fileBlock, bytes) => this.write(list, fileBlock, bytes),
    };
  }

  /** Where the blocks of a fork's bmbt come from. */
  treeSpace(ino: number, flags: number): TreeSpace {
    return {
      take: (count) => {
        const out = new Float64Array(count);
        for (let done = 0; done < count; ) {
          const piece = this.space.take(count - done);
          this.space.own(piece.fsblock, piece.blocks, ino, 0, flags | OWNED.BMBT);
          for (let i = 0; i < piece.blocks; i++) out[done++] = piece.fsblock + i;
        }
        return out;
      },
      emit: (fsblock, bytes) => this.output.write(fsblockOffset(this.g, fsblock), bytes),
    };
  }

  /** Notes what the list maps as that of inode `ino`. */
  own(ino: number, list: ExtentColumns, flags: number): void {
    for (let i = 0; i < list.count; i++)
      this.space.own(list.fsblock[i], list.blocks[i], ino, list.offset[i], flags);
  }
}
