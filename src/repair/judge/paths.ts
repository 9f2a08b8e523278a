/** Paths of inodes, for findings: found by reading the few directories on the way, never all of them. */
import { CorruptionError } from '../../format/fault.js';
import { bytesToText } from '../../format/text.js';
import { walkDir } from '../../volume/dir.js';
import { readInode } from '../../volume/inode.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';

/** Longest chain of directories followed: far above what PATH_MAX allows, and an end to loops. */
const MAX_DEPTH = 4096;

export class Paths {
  readonly #o: Observation;
  readonly #known = new Map<number, Buffer | undefined>();

  constructor(observation: Observation) {
    this.#o = observation;
  }

  /** The path of an inode from the root, as bytes; undefined where no name leads to it. */
  bytes(ino: number): Buffer | undefined {
    const { table, volume } = this.#o;
    if (ino === volume.g.rootino) return Buffer.from('/');
    if (this.#known.has(ino)) return this.#known.get(ino);
    this.#known.set(ino, undefined);
    const parts: Buffer[] = [];
    let slot = table.slot(ino);
    for (let depth = 0; slot >= 0 && depth < MAX_DEPTH; depth++) {
      const self = table.ino(slot);
      if (self === volume.g.rootino) {
        const path = Buffer.concat(parts.reverse().flatMap((part) => [Buffer.from('/'), part]));
        this.#known.set(ino, path);
        return path;
      }
      const dir = table.heldBy[slot];
      if (dir < 0 || (table.flags[dir] & SLOT.USED) === 0) return undefined;
      const name = this.#nameIn(table.ino(dir), self);
      if (name === undefined) return undefined;
      parts.push(name);
      slot = dir;
    }
    return undefined;
  }

  /** The same as text, for people and for JSON. */
  text(ino: number): string | undefined {
    const bytes = this.bytes(ino);
    return bytes === undefined ? undefined : bytesToText(bytes);
  }

  #nameIn(dir: number, child: number): Buffer | undefined {
    let name: Buffer | undefined;
    try {
      const inode = readInode(this.#o.volume, dir, { verify: false });
      walkDir(
        this.#o.volume,
        inode,
        (block, from, to, ino) => {
          if (ino !== child) return;
          name = Buffer.from(block.subarray(from, to));
          return false;
        },
        { report: () => {} },
      );
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
    }
    return name;
  }
}
