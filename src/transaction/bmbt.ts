/** The bmbt of a fork, to be changed: its root is in the inode, its blocks lie anywhere. Rules: xfs_bmap_btree.c. */
import { sameUuid } from '../format/ag.js';
import { BMDR_BLOCK, BTREES, LONG_BLOCK, maxRecords, maxRootRecords, ptrAt } from '../format/btree.js';
import { CorruptionError, hex } from '../format/fault.js';
import {
  agbnoOfFsblock,
  agnoOfFsblock,
  agnoOfIno,
  fsblockOf,
  fsblockOffset,
  isFsRange,
} from '../format/geometry.js';
import { BLFT } from '../format/logitems.js';
import { getU64, setU64 } from '../format/structure.js';
import { type ForkName, forkAt, forkSize } from '../volume/fork.js';
import { allocAnywhere, freeExtent } from './alloc.js';
import { Btree } from './btree.js';
import { Node } from './btreenode.js';
import { FORK_LOG, type LiveInode } from './inode.js';
import { KEYS } from './keys.js';
import { RMAP_FLAG, type RmapOwner } from './rmap.js';
import type { Transaction } from './transaction.js';

const L = LONG_BLOCK.at;
const kind = BTREES.bmbt;

/** The bmbt of a fork: its root is in the inode, its blocks anywhere. */
export class Bmbt extends Btree {
  readonly inode: LiveInode;
  readonly fork: ForkName;

  constructor(tx: Transaction, inode: LiveInode, fork: ForkName) {
    super(tx, kind, KEYS.bmbt);
    this.inode = inode;
    this.fork = fork;
  }

  override height(): number {
    return this.inode.view.getUint16(forkAt(this.inode, this.fork)) + 1;
  }

  override root(): Node {
    const { inode, fork } = this;
    const at = forkAt(inode, fork);
    const max = maxRootRecords(forkSize(inode, fork));
    return new Node(
      inode.buffer,
      inode.view.getUint16(at + BMDR_BLOCK.at.level),
      -1,
      at + BMDR_BLOCK.at.numrecs,
      at + BMDR_BLOCK.size,
      at + BMDR_BLOCK.size + max * 8,
      max,
    );
  }

  override setRootLevel(_node: Node, level: number): void {
    this.tx.editInode(this.inode, FORK_LOG[this.fork].root);
    this.inode.view.setUint16(forkAt(this.inode, this.fork) + BMDR_BLOCK.at.level, level);
  }

  override block(ptr: number, level: number): Node {
    const { g } = this;
    const bad = (field: string, value: number | string, expected: string): never => {
      throw new CorruptionError({
        structure: 'bmbt',
        ino: this.inode.ino,
        agno: agnoOfFsblock(g, ptr),
        agbno: agbnoOfFsblock(g, ptr),
        field,
        value,
        expected,
      });
    };
    if (ptr <= 0 || !isFsRange(g, ptr, 1)) bad('ptr', ptr, 'a block of the filesystem');
    const buffer = this.tx.engine.buffers.get(fsblockOffset(g, ptr), g.blocksize, BLFT.BTREE);
    const { view } = buffer;
    if (view.getUint32(L.magic) !== kind.magic) bad('magic', hex(view.getUint32(L.magic)), hex(kind.magic));
    if (view.getUint16(L.level) !== level) bad('level', view.getUint16(L.level), `${level}`);
    const max = maxRecords(kind, g.blocksize, level);
    if (view.getUint16(L.numrecs) > max) bad('numrecs', view.getUint16(L.numrecs), `at most ${max}`);
    if (getU64(view, L.owner) !== this.inode.ino) bad('owner', getU64(view, L.owner), `${this.inode.ino}`);
    if (!sameUuid(g, buffer.bytes, L.uuid)) bad('uuid', 'another', g.metaUuid);
    return new Node(buffer, level, ptr, L.numrecs, kind.header.size, ptrAt(kind, g.blocksize, 0), max);
  }

  #owner(): RmapOwner {
    const flags = RMAP_FLAG.BMBT + (this.fork === 'attr' ? RMAP_FLAG.ATTR : 0);
    return { owner: this.inode.ino, offset: 0, flags };
  }

  override newBlock(level: number, near: number): Node {
    const { tx, g, inode } = this;
    const fsblock = allocAnywhere(tx, {
      near: near > 0 ? near : fsblockOf(g, agnoOfIno(g, inode.ino), 0),
      min: 1,
      max: 1,
      owner: this.#owner(),
      busy: tx.engine.reusesBusy,
    }).fsblock;
    tx.editInode(inode);
    inode.setNblocks(inode.nblocks + 1);
    const offset = fsblockOffset(g, fsblock);
    const buffer = tx.fresh(offset, g.blocksize, BLFT.BTREE);
    const { view } = buffer;
    view.setUint32(L.magic, kind.magic);
    view.setUint16(L.level, level);
    buffer.bytes.fill(0xff, L.leftsib, L.leftsib + 16);
    setU64(view, L.bno, offset / 512);
    buffer.bytes.set(g.metaUuidBytes, L.uuid);
    setU64(view, L.owner, inode.ino);
    const max = maxRecords(kind, g.blocksize, level);
    return new Node(buffer, level, fsblock, L.numrecs, kind.header.size, ptrAt(kind, g.blocksize, 0), max);
  }

  override freeBlock(node: Node): void {
    const { tx, g, inode } = this;
    tx.cancel(node.buffer);
    freeExtent(tx, agnoOfFsblock(g, node.ptr), agbnoOfFsblock(g, node.ptr), 1, this.#owner());
    tx.editInode(inode);
    inode.setNblocks(inode.nblocks - 1);
  }

  override setRoot(): void {
    throw new Error('the root of a bmbt does not move');
  }

  override edit(node: Node, at: number, length: number): void {
    if (node.inInode) this.tx.editInode(this.inode, FORK_LOG[this.fork].root);
    else this.tx.edit(node.buffer, at, length);
  }
}
