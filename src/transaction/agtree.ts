/** The six btrees of an AG: where their roots are, where their blocks come from, what counts them. */
import { AGF, AGI, sameUuid } from '../format/ag.js';
import {
  AG_BTREE_ROOT,
  type AgBtreeName,
  BTREES,
  maxRecords,
  ptrAt,
  RMAP_OWN,
  SHORT_BLOCK,
} from '../format/btree.js';
import { CorruptionError, hex } from '../format/fault.js';
import { agLength, blockOffset, firstFreeAgbno, type Geometry } from '../format/geometry.js';
import { BLFT } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import { NULLAGBLOCK } from '../format/superblock.js';
import { allocMetadataBlock, freeMetadataBlock } from './alloc.js';
import { Btree } from './btree.js';
import { Node } from './btreenode.js';
import type { Buffer } from './buffers.js';
import { getFreelist, putFreelist } from './freelist.js';
import { KEYS } from './keys.js';
import type { Transaction } from './transaction.js';

const AT = SHORT_BLOCK.at;

/** Block where the refcount btree of an AG has its root when the filesystem is made: new blocks go near. */
const refcountHome = (g: Geometry): number =>
  firstFreeAgbno(g) + 3 + (g.features.finobt ? 1 : 0) + (g.features.rmapbt ? 1 : 0);

export class AgBtree extends Btree {
  readonly agno: number;
  readonly name: AgBtreeName;
  readonly #header: Buffer;
  readonly #rootAt: number;
  readonly #levelAt: number;

  constructor(tx: Transaction, agno: number, name: AgBtreeName) {
    super(tx, BTREES[name], KEYS[name]);
    const place = AG_BTREE_ROOT[name];
    this.agno = agno;
    this.name = name;
    this.#header = place.header === 'agf' ? tx.engine.agf(agno) : tx.engine.agi(agno);
    this.#rootAt = place.root;
    this.#levelAt = place.level;
  }

  override height(): number {
    return this.#header.view.getUint32(this.#levelAt);
  }

  override root(): Node {
    return this.block(this.#header.view.getUint32(this.#rootAt), this.height() - 1);
  }

  override block(ptr: number, level: number): Node {
    if (ptr === 0 || ptr >= agLength(this.g, this.agno)) this.#bad(ptr, 'ptr', ptr, 'a block of the AG');
    const buffer = this.tx.engine.buffers.get(
      blockOffset(this.g, this.agno, ptr),
      this.g.blocksize,
      BLFT.BTREE,
    );
    const { view } = buffer;
    if (view.getUint32(AT.magic) !== this.kind.magic)
      this.#bad(ptr, 'magic', hex(view.getUint32(AT.magic)), hex(this.kind.magic));
    if (view.getUint16(AT.level) !== level) this.#bad(ptr, 'level', view.getUint16(AT.level), `${level}`);
    const max = maxRecords(this.kind, this.g.blocksize, level);
    if (view.getUint16(AT.numrecs) > max)
      this.#bad(ptr, 'numrecs', view.getUint16(AT.numrecs), `at most ${max}`);
    if (view.getUint32(AT.owner) !== this.agno)
      this.#bad(ptr, 'owner', view.getUint32(AT.owner), `${this.agno}`);
    if (!sameUuid(this.g, buffer.bytes, AT.uuid)) this.#bad(ptr, 'uuid', 'another', this.g.metaUuid);
    return this.#node(buffer, ptr, level);
  }

  #node(buffer: Buffer, ptr: number, level: number): Node {
    const { kind, g } = this;
    return new Node(
      buffer,
      level,
      ptr,
      AT.numrecs,
      kind.header.size,
      ptrAt(kind, g.blocksize, 0),
      maxRecords(kind, g.blocksize, level),
    );
  }

  override newBlock(level: number, near: number): Node {
    const agbno = this.#take(near);
    const { g, tx } = this;
    const offset = blockOffset(g, this.agno, agbno);
    const buffer = tx.fresh(offset, g.blocksize, BLFT.BTREE);
    const { view } = buffer;
    view.setUint32(AT.magic, this.kind.magic);
    view.setUint16(AT.level, level);
    view.setUint32(AT.leftsib, NULLAGBLOCK);
    view.setUint32(AT.rightsib, NULLAGBLOCK);
    setU64(view, AT.bno, offset / 512);
    buffer.bytes.set(g.metaUuidBytes, AT.uuid);
    view.setUint32(AT.owner, this.agno);
    return this.#node(buffer, agbno, level);
  }

  #take(near: number): number {
    const { tx, agno } = this;
    switch (this.name) {
      case 'bnobt':
      case 'cntbt':
        return getFreelist(tx, agno, true);
      case 'rmapbt': {
        const agbno = getFreelist(tx, agno, true);
        tx.add32(this.#header, AGF.at.rmapblocks, 1);
        return agbno;
      }
      case 'refcountbt': {
        const agbno = allocMetadataBlock(tx, agno, refcountHome(this.g), RMAP_OWN.REFC, true);
        tx.add32(this.#header, AGF.at.refcntblocks, 1);
        return agbno;
      }
      case 'inobt':
      case 'finobt': {
        const agbno = allocMetadataBlock(tx, agno, near, RMAP_OWN.INOBT, this.name === 'finobt');
        this.#countInodeBlocks(1);
        return agbno;
      }
    }
  }

  override freeBlock(node: Node): void {
    const { tx, agno } = this;
    tx.cancel(node.buffer);
    switch (this.name) {
      case 'bnobt':
      case 'cntbt':
        putFreelist(tx, agno, node.ptr, true);
        return;
      case 'rmapbt':
        tx.add32(this.#header, AGF.at.rmapblocks, -1);
        putFreelist(tx, agno, node.ptr, true);
        return;
      case 'refcountbt':
        tx.add32(this.#header, AGF.at.refcntblocks, -1);
        freeMetadataBlock(tx, agno, node.ptr, RMAP_OWN.REFC);
        return;
      case 'inobt':
      case 'finobt':
        this.#countInodeBlocks(-1);
        freeMetadataBlock(tx, agno, node.ptr, RMAP_OWN.INOBT);
    }
  }

  #countInodeBlocks(delta: number): void {
    if (!this.g.features.inobtcount) return;
    const at = this.name === 'inobt' ? AGI.at.ino_blocks : AGI.at.fino_blocks;
    this.tx.add32(this.#header, at, delta);
  }

  override setRoot(ptr: number, height: number): void {
    this.tx.put32(this.#header, this.#rootAt, ptr);
    this.tx.put32(this.#header, this.#levelAt, height);
  }

  override edit(node: Node, at: number, length: number): void {
    this.tx.edit(node.buffer, at, length);
  }

  #bad(agbno: number, field: string, value: number | string, expected: string): never {
    throw new CorruptionError({
      structure: this.kind.name,
      agno: this.agno,
      agbno,
      field,
      value,
      expected,
    });
  }
}
