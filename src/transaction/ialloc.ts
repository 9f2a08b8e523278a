/**
 * Inodes: found free or made in new chunks, initialised, freed, and whole chunks given back when the last
 * inode of them is free. Rules: xfs_ialloc.c, xfs_inode.c.
 */
import { AGI } from '../format/ag.js';
import { RMAP_OWN } from '../format/btree.js';
import { sealCrc } from '../format/checksum.js';
import {
  DIFLAG2,
  DINODE,
  FORK_FORMAT,
  S_IF,
  S_IFMT,
  type Timespec,
  XFS_DINODE_MAGIC,
} from '../format/dinode.js';
import { CorruptionError } from '../format/fault.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agLength,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
  inoOf,
} from '../format/geometry.js';
import { ILOG } from '../format/logitems.js';
import { setU64, viewOf } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';
import { chunkFree, type InodeChunk, newChunk, readChunk } from '../volume/inode.js';
import { AgBtree } from './agtree.js';
import { allocExtent, freeExtent, NoSpaceError } from './alloc.js';
import { newKey } from './btreenode.js';
import type { LiveInode } from './inode.js';
import { icreateItem } from './items.js';
import type { RmapOwner } from './rmap.js';
import type { Transaction } from './transaction.js';

const OWNER: RmapOwner = { owner: RMAP_OWN.INODES, offset: 0, flags: 0 };
/** Inodes one bit of a holemask stands for, and blocks left in the AG for the inode btrees to grow. */
const INODES_PER_HOLE = 4;
const LEFT = 8;

const key = newKey();
const bytes = new Uint8Array(16);
const view = viewOf(bytes);

function pack(g: Geometry, c: InodeChunk): Uint8Array {
  view.setUint32(0, c.agino);
  if (g.features.sparseInodes) {
    view.setUint16(4, c.holemask);
    view.setUint8(6, c.count);
    view.setUint8(7, c.freecount);
  } else view.setUint32(4, c.freecount);
  view.setUint32(8, c.freeHigh);
  view.setUint32(12, c.freeLow);
  return bytes;
}

function read(g: Geometry, tree: AgBtree): InodeChunk {
  const chunk = newChunk();
  readChunk(g, tree.view, tree.at, chunk);
  return chunk;
}

const has = (c: InodeChunk, i: number): boolean => ((c.holemask >>> (i >> 2)) & 1) === 0;

function setFree(c: InodeChunk, i: number, free: boolean): void {
  const bit = 1 << (i & 31);
  if (i < 32) c.freeLow = (free ? c.freeLow | bit : c.freeLow & ~bit) >>> 0;
  else c.freeHigh = (free ? c.freeHigh | bit : c.freeHigh & ~bit) >>> 0;
  c.freecount += free ? 1 : -1;
}

/** Finds the record of the chunk that holds `agino`. */
function findChunk(tree: AgBtree, agino: number): InodeChunk | undefined {
  key[0] = agino;
  if (!tree.lookupLE(key)) return undefined;
  const chunk = read(tree.g, tree);
  return agino < chunk.agino + INODES_PER_CHUNK ? chunk : undefined;
}

/**
 * Takes a free inode, near inode `near` if that can be, and makes new ones where there is none. Returns its
 * number; its contents are still those of a free inode. Throws NoSpaceError.
 */
export function allocInode(tx: Transaction, near: number): number {
  const { g } = tx.engine;
  const home = agnoOfIno(g, near);
  for (let i = 0; i < g.agcount; i++) {
    const agno = (home + i) % g.agcount;
    const agi = tx.engine.agi(agno).view;
    if (agi.getUint32(AGI.at.freecount) === 0 && !allocChunk(tx, agno)) continue;
    const agino = takeFree(tx, agno, i === 0 ? aginoOfIno(g, near) : agi.getUint32(AGI.at.newino));
    if (agino !== undefined) return inoOf(g, agno, agino);
  }
  throw new NoSpaceError('no room for another inode in the image');
}

/** Takes a free inode of an AG out of the inode btrees. */
function takeFree(tx: Transaction, agno: number, near: number): number | undefined {
  const { g } = tx.engine;
  const inobt = new AgBtree(tx, agno, 'inobt');
  let chunk: InodeChunk | undefined;
  if (g.features.finobt) {
    const finobt = new AgBtree(tx, agno, 'finobt');
    key[0] = near === NULLAGINO ? 0 : near;
    if (!finobt.lookupLE(key) && !finobt.lookupGE(key)) return undefined;
    chunk = read(g, finobt);
  } else {
    chunk = findChunk(inobt, near);
    if (chunk === undefined || chunk.freecount === 0) {
      chunk = undefined;
      for (let more = inobt.first(); more && chunk === undefined; more = inobt.next()) {
        const c = read(g, inobt);
        if (c.freecount > 0) chunk = c;
      }
    }
  }
  if (chunk === undefined) return undefined;
  let index = 0;
  while (index < INODES_PER_CHUNK && !(has(chunk, index) && chunkFree(chunk, index))) index++;
  if (index === INODES_PER_CHUNK) corrupt(agno, chunk.agino, 'free', 'a free inode in the chunk');
  setFree(chunk, index, false);
  if (g.features.finobt) {
    const finobt = new AgBtree(tx, agno, 'finobt');
    key[0] = chunk.agino;
    if (!finobt.lookupEQ(key)) corrupt(agno, chunk.agino, 'startino', 'a record of the finobt');
    if (chunk.freecount === 0) finobt.remove();
    else finobt.update(pack(g, chunk));
  }
  key[0] = chunk.agino;
  if (!inobt.lookupEQ(key)) corrupt(agno, chunk.agino, 'startino', 'a record of the inobt');
  inobt.update(pack(g, chunk));
  tx.add32(tx.engine.agi(agno), AGI.at.freecount, -1);
  return chunk.agino + index;
}

function corrupt(agno: number, agino: number, field: string, expected: string): never {
  throw new CorruptionError({ structure: 'inobt', agno, field, value: agino, expected });
}

/** Makes a chunk of inodes in an AG, a sparse one where no whole one fits. False where neither does. */
function allocChunk(tx: Transaction, agno: number): boolean {
  const { engine } = tx;
  const { g, inodeGeometry: ig } = engine;
  if (engine.inodeCount() + ig.inodes > ig.maxInodes) return false;
  const agi = engine.agi(agno);
  const newino = agi.view.getUint32(AGI.at.newino);
  const near = newino === NULLAGINO ? agi.view.getUint32(AGI.at.root) : agbnoOfAgino(g, newino) + ig.blocks;
  const length = agLength(g, agno);
  const whole = allocExtent(tx, agno, {
    min: ig.blocks,
    max: ig.blocks,
    near,
    align: ig.align,
    owner: OWNER,
    left: LEFT,
  });
  if (whole !== undefined) {
    for (let i = 0; i < ig.inodes; i += INODES_PER_CHUNK)
      addChunk(tx, agno, {
        agino: whole.agbno * g.inopblock + i,
        holemask: 0,
        count: INODES_PER_CHUNK,
        freecount: INODES_PER_CHUNK,
        freeHigh: 0xffff_ffff,
        freeLow: 0xffff_ffff,
      });
    initialise(tx, agno, whole.agbno, ig.blocks);
    return true;
  }
  if (ig.minBlocks >= ig.blocks) return false;
  const part = allocExtent(tx, agno, {
    min: ig.minBlocks,
    max: ig.minBlocks,
    near,
    align: g.spinoAlign,
    owner: OWNER,
    left: LEFT,
    from: g.inoalignmt,
    to: Math.floor(length / g.inoalignmt) * g.inoalignmt - ig.blocks,
  });
  if (part === undefined) return false;
  const start = part.agbno - (part.agbno % g.inoalignmt);
  const first = (part.agbno - start) * g.inopblock;
  const count = ig.minBlocks * g.inopblock;
  let present = 0;
  for (let i = first; i < first + count; i += INODES_PER_HOLE) present |= 1 << (i / INODES_PER_HOLE);
  addChunk(tx, agno, {
    agino: start * g.inopblock,
    holemask: ~present & 0xffff,
    count,
    freecount: count,
    freeHigh: 0xffff_ffff,
    freeLow: 0xffff_ffff,
  });
  initialise(tx, agno, part.agbno, ig.minBlocks);
  return true;
}

/** Adds a chunk to both inode btrees; a sparse one joins the record of its neighbours, if there is one. */
function addChunk(tx: Transaction, agno: number, added: InodeChunk): void {
  const { g } = tx.engine;
  const inobt = new AgBtree(tx, agno, 'inobt');
  let chunk = added;
  key[0] = added.agino;
  const joins = added.holemask !== 0 && inobt.lookupEQ(key);
  if (joins) {
    const old = read(g, inobt);
    if ((~old.holemask & ~added.holemask & 0xffff) !== 0)
      corrupt(agno, added.agino, 'holemask', 'holes where inodes are added');
    chunk = {
      agino: old.agino,
      holemask: old.holemask & added.holemask,
      count: old.count + added.count,
      freecount: old.freecount + added.freecount,
      freeHigh: (old.freeHigh & added.freeHigh) >>> 0,
      freeLow: (old.freeLow & added.freeLow) >>> 0,
    };
    inobt.update(pack(g, chunk));
  } else inobt.insert(pack(g, chunk));
  if (!g.features.finobt) return;
  const finobt = new AgBtree(tx, agno, 'finobt');
  key[0] = chunk.agino;
  if (finobt.lookupEQ(key)) finobt.update(pack(g, chunk));
  else finobt.insert(pack(g, chunk));
}

/** Fills the blocks of new inodes, logs how, and counts them. */
function initialise(tx: Transaction, agno: number, agbno: number, blocks: number): void {
  const { engine } = tx;
  const { g, inodeGeometry: ig } = engine;
  const generation = engine.random();
  const count = blocks * g.inopblock;
  for (let at = 0; at < blocks; at += ig.clusterBlocks) {
    const offset = blockOffset(g, agno, agbno + at);
    const buffer = engine.freshInodes(offset);
    const { view: v } = buffer;
    const first = inoOf(g, agno, (agbno + at) * g.inopblock);
    for (let i = 0; i * g.inodesize < buffer.length; i++) {
      const base = i * g.inodesize;
      v.setUint16(base + DINODE.at.magic, XFS_DINODE_MAGIC);
      v.setUint8(base + DINODE.at.version, 3);
      v.setUint32(base + DINODE.at.gen, generation);
      v.setUint32(base + DINODE.at.next_unlinked, NULLAGINO);
      setU64(v, base + DINODE.at.inumber, first + i);
      buffer.bytes.set(g.metaUuidBytes, base + DINODE.at.uuid);
      sealCrc(buffer.bytes.subarray(base, base + g.inodesize), DINODE.at.crc);
    }
    tx.order(buffer);
  }
  tx.icreate(icreateItem(agno, agbno, count, g.inodesize, blocks, generation));
  const agi = engine.agi(agno);
  tx.add32(agi, AGI.at.count, count);
  tx.add32(agi, AGI.at.freecount, count);
  tx.put32(agi, AGI.at.newino, agbno * g.inopblock);
  engine.countInodes(tx, count);
}

export interface InodeInit {
  /** File type and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly projid?: number;
  readonly time: Timespec;
  readonly rdev?: number;
  readonly flags?: number;
  /** Beyond those every new inode of the filesystem has. */
  readonly flags2?: number;
  readonly extsize?: number;
  readonly cowextsize?: number;
}

/** DIFLAG2 bits of every new inode. */
const newFlags2 = (g: Geometry): number =>
  (g.features.bigtime ? DIFLAG2.BIGTIME : 0) | (g.features.nrext64 ? DIFLAG2.NREXT64 : 0);

/** Makes an inode taken by `allocInode` a file of some kind, empty. */
export function initInode(tx: Transaction, ino: number, init: InodeInit): LiveInode {
  const { engine } = tx;
  const { g } = engine;
  const inode = engine.inode(ino, { free: true });
  tx.editInode(inode, ILOG.CORE | ILOG.DEV);
  const { view: v, base } = inode;
  const generation = inode.generation;
  // Everything but identity begins as zero.
  inode.buffer.bytes.fill(0, base + DINODE.at.mode, base + DINODE.at.version);
  inode.buffer.bytes.fill(0, base + DINODE.at.format, base + DINODE.at.gen);
  inode.buffer.bytes.fill(0, base + DINODE.at.change_count, base + DINODE.at.lsn);
  inode.buffer.bytes.fill(0, base + DINODE.at.flags2, base + DINODE.at.inumber);
  inode.buffer.bytes.fill(0, base + DINODE.size, base + g.inodesize);
  inode.setMode(init.mode);
  v.setUint32(base + DINODE.at.change_count + 4, 1);
  inode.setGeneration(generation === 0 ? engine.random() : generation);
  inode.setFlags(init.flags ?? 0);
  inode.setFlags2(newFlags2(g) | (init.flags2 ?? 0));
  inode.setNlink(init.nlink);
  inode.setOwner(init.uid, init.gid);
  inode.setProjid(init.projid ?? 0);
  inode.setExtsize(init.extsize ?? 0);
  inode.setCowextsize(init.cowextsize ?? 0);
  for (const which of ['atime', 'mtime', 'ctime', 'crtime'] as const) inode.setTime(which, init.time);
  const type = init.mode & S_IFMT;
  const hasExtents = type === S_IF.REG || type === S_IF.DIR || type === S_IF.LNK;
  inode.setFormat('data', hasExtents ? FORK_FORMAT.EXTENTS : FORK_FORMAT.DEV);
  inode.setFormat('attr', FORK_FORMAT.EXTENTS);
  if (!hasExtents) inode.setRdev(init.rdev ?? 0);
  inode.forget();
  return inode;
}

/**
 * Frees an inode: its forks must be empty and it must be on no unlinked list. Its chunk goes too where it
 * was the last in use.
 */
export function freeInode(tx: Transaction, inode: LiveInode): void {
  const { engine } = tx;
  const { g } = engine;
  const agno = agnoOfIno(g, inode.ino);
  const agino = aginoOfIno(g, inode.ino);
  const inobt = new AgBtree(tx, agno, 'inobt');
  const chunk = findChunk(inobt, agino);
  const index = agino - (chunk?.agino ?? 0);
  if (chunk === undefined || !has(chunk, index) || chunkFree(chunk, index))
    corrupt(agno, agino, 'free', 'the inode in use: it is being freed');
  setFree(chunk, index, true);

  tx.editInode(inode);
  inode.setMode(0);
  inode.setNlink(0);
  inode.setFlags(0);
  inode.setFlags2(newFlags2(g));
  inode.setForkoff(0);
  inode.setFormat('data', FORK_FORMAT.EXTENTS);
  inode.setFormat('attr', FORK_FORMAT.EXTENTS);
  inode.setSize(0);
  inode.setGeneration((inode.generation + 1) >>> 0);
  inode.forget();

  const agi = engine.agi(agno);
  const gone =
    chunk.freeLow === 0xffff_ffff && chunk.freeHigh === 0xffff_ffff && g.inopblock <= INODES_PER_CHUNK;
  const finobt = g.features.finobt ? new AgBtree(tx, agno, 'finobt') : undefined;
  key[0] = chunk.agino;
  const listed = finobt?.lookupEQ(key) === true;
  if (!gone) {
    key[0] = chunk.agino;
    inobt.lookupEQ(key);
    inobt.update(pack(g, chunk));
    if (finobt !== undefined) {
      if (listed) finobt.update(pack(g, chunk));
      else finobt.insert(pack(g, chunk));
    }
    tx.add32(agi, AGI.at.freecount, 1);
    return;
  }
  if (finobt !== undefined && listed) finobt.remove();
  key[0] = chunk.agino;
  inobt.lookupEQ(key);
  inobt.remove();
  tx.add32(agi, AGI.at.count, -chunk.count);
  tx.add32(agi, AGI.at.freecount, -(chunk.count - 1));
  engine.countInodes(tx, -chunk.count);
  freeChunk(tx, agno, chunk);
}

/** Frees the blocks of a chunk, and cancels its clusters in the log. */
function freeChunk(tx: Transaction, agno: number, chunk: InodeChunk): void {
  const { engine } = tx;
  const { g, inodeGeometry: ig } = engine;
  const start = agbnoOfAgino(g, chunk.agino);
  const present = (block: number): boolean => has(chunk, block * g.inopblock);
  for (let block = 0; block < ig.blocks; block += ig.clusterBlocks)
    if (present(block)) tx.cancel(engine.inodeCluster(blockOffset(g, agno, start + block)));
  for (let from = 0; from < ig.blocks; ) {
    if (!present(from)) {
      from++;
      continue;
    }
    let to = from;
    while (to < ig.blocks && present(to)) to++;
    freeExtent(tx, agno, start + from, to - from, OWNER);
    from = to;
  }
  engine.chunkFreed = true;
}
