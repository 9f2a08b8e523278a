/**
 * The hash btree of a directory or an attribute fork: a walk over all its leaves in hash order, and the way
 * down to the first leaf that can hold a hash.
 */
import { ATTR3_LEAF_HDR } from '../format/attr.js';
import {
  DA_AT,
  DA_NODE_ENTRY,
  DA_NODE_MAXDEPTH,
  DA3_NODE_HDR,
  daNodeFind,
  verifyDaNode,
  XFS_DA3_NODE_MAGIC,
} from '../format/da.js';
import { DIR3_LEAF_HDR } from '../format/dir.js';
import { CorruptionError, type Report, throwFault } from '../format/fault.js';
import type { ForkBlocks } from './forkblocks.js';

export interface DaTree {
  readonly blocks: ForkBlocks;
  readonly of: 'dir' | 'attr';
  /** File block of the root; the tree's other blocks lie at or behind it, before `end`. */
  readonly root: number;
  readonly end: number;
}

/** Takes a leaf: its block (not verified), its file block, and the highest hash its parent gives it. */
export type DaLeafVisitor = (leaf: DataView, at: number, maxHash: number | undefined) => void;

const isNode = (v: DataView): boolean => v.getUint16(DA_AT.magic) === XFS_DA3_NODE_MAGIC;

/**
 * Visits the leaves in hash order, by the pointers of the nodes; each block once, so that a loop ends. Nodes
 * are verified, and a block that is a hole, met twice or of the wrong level is reported and left out.
 */
export function walkDaTree(tree: DaTree, visit: DaLeafVisitor, report: Report): void {
  const { blocks, of } = tree;
  const { g } = blocks.volume;
  const seen = new Set<number>();
  const fault = (at: number, field: string, value: number, expected: string): void =>
    report({ structure: `${of} node`, ino: blocks.inode.ino, ...blocks.place(at), field, value, expected });

  const links = new SiblingLinks(blocks, of, report);

  const descend = (at: number, level: number | undefined, maxHash: number | undefined): void => {
    seen.add(at);
    const v = blocks.read(at);
    if (v === undefined) {
      fault(at, 'block', at, 'a block of the fork, not a hole');
      return;
    }
    links.check(v, at, level ?? (isNode(v) ? v.getUint16(DA3_NODE_HDR.at.level) : 0));
    if (level === 0 || (level === undefined && !isNode(v))) {
      visit(v, at, maxHash);
      return;
    }
    const expect = { level, first: tree.root, end: tree.end };
    blocks.verify(v, at, (b, place, r) => verifyDaNode(g, b, of, place, expect, r), report);
    if (!isNode(v)) return;
    const own = v.getUint16(DA3_NODE_HDR.at.level);
    if (own < 1 || own > DA_NODE_MAXDEPTH || (level !== undefined && own !== level)) return;
    const room = Math.floor((v.byteLength - DA3_NODE_HDR.size) / DA_NODE_ENTRY.size);
    const count = Math.min(v.getUint16(DA3_NODE_HDR.at.count), room);
    const names = of === 'dir' ? 'nbtree' : 'btree';
    for (let i = 0; i < count; i++) {
      const entry = DA3_NODE_HDR.size + i * DA_NODE_ENTRY.size;
      const child = v.getUint32(entry + DA_NODE_ENTRY.at.before);
      if (child < tree.root || child >= tree.end) continue; // the node's own check has said so
      if (seen.has(child)) fault(at, `${names}[${i}].before`, child, 'a block not met before');
      else {
        const hashval = v.getUint32(entry);
        const highest = lastHash(blocks.read(child), of);
        if (highest !== undefined && highest !== hashval)
          fault(at, `${names}[${i}].hashval`, hashval, `${highest}, the highest hash of block ${child}`);
        descend(child, own - 1, hashval);
      }
    }
  };
  descend(tree.root, undefined, undefined);
  links.finish();
}

/** The last hash of a node or leaf, in use or stale; undefined where it has none that can be told. */
function lastHash(v: DataView | undefined, of: 'dir' | 'attr'): number | undefined {
  if (v === undefined) return undefined;
  const leaf = of === 'dir' ? DIR3_LEAF_HDR : ATTR3_LEAF_HDR;
  const { size, at } = isNode(v) ? DA3_NODE_HDR : leaf;
  const count = v.getUint16(at.count);
  // Entries of all three begin with their hash and take 8 bytes.
  const where = size + (count - 1) * DA_NODE_ENTRY.size;
  return count === 0 || where + DA_NODE_ENTRY.size > v.byteLength ? undefined : v.getUint32(where);
}

/** Holds the sibling links of each level against the order in which its blocks are met. */
class SiblingLinks {
  readonly #blocks: ForkBlocks;
  readonly #of: 'dir' | 'attr';
  readonly #report: Report;
  /** By level: the block met last, and what it says comes after it. */
  readonly #last = new Map<number, { at: number; forw: number; hdr: string }>();

  constructor(blocks: ForkBlocks, of: 'dir' | 'attr', report: Report) {
    this.#blocks = blocks;
    this.#of = of;
    this.#report = report;
  }

  check(v: DataView, at: number, level: number): void {
    const hdr = this.#of === 'attr' ? 'hdr' : isNode(v) ? 'nhdr' : 'lhdr';
    const last = this.#last.get(level);
    if (last !== undefined && last.forw !== at) this.#bad(last.hdr, level, 'forw', last.at, last.forw, at);
    const back = v.getUint32(DA_AT.back);
    if (back !== (last?.at ?? 0)) this.#bad(hdr, level, 'back', at, back, last?.at ?? 0);
    this.#last.set(level, { at, forw: v.getUint32(DA_AT.forw), hdr });
  }

  finish(): void {
    for (const [level, { at, forw, hdr }] of this.#last)
      if (forw !== 0) this.#bad(hdr, level, 'forw', at, forw, 0);
  }

  #bad(hdr: string, level: number, link: string, at: number, value: number, right: number): void {
    const expected = right === 0 ? '0: none follows on this side' : `${right}, the block beside it`;
    const structure = `${this.#of} ${level > 0 ? 'node' : 'leaf'}`;
    const where = { ino: this.#blocks.inode.ino, ...this.#blocks.place(at) };
    this.#report({ structure, ...where, field: `${hdr}.info.hdr.${link}`, value, expected });
  }
}

/**
 * Goes down to the first leaf that can hold `hash` and then along the leaves for as long as `visit` returns
 * true ("the next leaf may hold it too"). Throws CorruptionError on damage in the way.
 */
export function findDaLeaf(tree: DaTree, hash: number, visit: (leaf: DataView, at: number) => boolean): void {
  const { blocks, of } = tree;
  const { g } = blocks.volume;
  let at = tree.root;
  let level: number | undefined;
  let field = 'root';
  let v = blocks.need(at, `${of} node`, field);
  while (level !== 0 && (level !== undefined || isNode(v))) {
    const expect = { level, first: tree.root, end: tree.end };
    const node = v;
    blocks.verify(node, at, (b, place, r) => verifyDaNode(g, b, of, place, expect, r), throwFault);
    const i = daNodeFind(node, node.getUint16(DA3_NODE_HDR.at.count), hash);
    level = node.getUint16(DA3_NODE_HDR.at.level) - 1;
    at = node.getUint32(DA3_NODE_HDR.size + i * DA_NODE_ENTRY.size + DA_NODE_ENTRY.at.before);
    field = `${of === 'dir' ? 'nbtree' : 'btree'}[${i}].before`;
    v = blocks.need(at, `${of} node`, field);
  }
  const seen = new Set<number>();
  while (visit(v, at)) {
    seen.add(at);
    const forw = v.getUint32(DA_AT.forw);
    if (forw === 0) return;
    if (seen.has(forw) || forw < tree.root || forw >= tree.end)
      throw new CorruptionError({
        structure: `${of} leaf`,
        ...blocks.place(at)!,
        field: 'forw',
        value: forw,
        expected: 'a block not met before',
      });
    at = forw;
    v = blocks.need(at, `${of} leaf`, 'forw');
  }
}
