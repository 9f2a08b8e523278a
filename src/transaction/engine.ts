/**
 * The transaction engine: what edits an XFS filesystem, with a log that Linux can replay.
 *
 * `Engine` is the one object: it holds the metadata buffers, the log and what is collected for it.
 *
 *     const engine = new Engine(source, volume.g, scanLog(source, volume.g));
 *     engine.run((tx) => { ... });      // one operation: a transaction, and what it defers
 *     engine.close();                   // everything in place, counters, unmount record
 *
 * Inside `run` an operation uses
 *   - inodes: `engine.inode(ino)`, `tx.editInode` and the setters of LiveInode; `allocInode`, `initInode`,
 *     `freeInode` (ialloc.ts); `addUnlinked`, `removeUnlinked` (iunlink.ts)
 *   - space: `allocExtent`, `freeExtent`, `allocAnywhere` (alloc.ts)
 *   - files: `allocateExtent`, `mapExtent`, `unmapExtent`, `convertExtents` (bmap.ts), `truncateFork`,
 *     `inactivate` (truncate.ts: these run transactions of their own)
 *   - names: `findEntry`, `addEntry`, `removeEntry`, `replaceEntry`, `initDirectory` (dir.ts); `getAttr`,
 *     `setAttr`, `removeAttr` (attr.ts)
 *   - sharing: `tx.defer({ kind: 'refcount' ... })`, `firstShared` (refcount.ts)
 * and may `tx.defer` works of every kind (defer.ts), done in the order Linux does them.
 *
 * Recovery (recovery/), after it has replayed a log that was not clean, uses
 *   - `engine.adopt(type, id, region, lsn, works)` for each intent without a done-item, then `engine.finish`
 *     with it, oldest first: an EFI is FreeWork with owner ANY_OWNER, a RUI RmapWork, a CUI RefcountWork, a
 *     BUI BmapWork (all in defer.ts)
 *   - `inactivate` for the inodes on unlinked lists, `firstCowStaging` and `deferCowStaging` for blocks held
 *     for copies on write
 *   - `engine.close`, which sums up the superblock's counters and writes the unmount record
 *
 * How it gets to disk: commits collect in memory; `flush` writes one checkpoint of all of them (checkpoint.ts)
 * and is called by itself when enough has come together. File data must be written, by way of
 * `engine.writeData`, before the transaction that maps it is committed.
 */
import { AGF, AGI, verifyAgf, verifyAgfl, verifyAgi } from '../format/ag.js';
import { CorruptionError, throwFault } from '../format/fault.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agnoOfIno,
  blockOffset,
  fsblockOffset,
  type Geometry,
  isInoInRange,
} from '../format/geometry.js';
import { BLFT } from '../format/logitems.js';
import { setU64 } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { LogWriter } from '../journal/append.js';
import type { LogState } from '../journal/scan.js';
import { chunkHas, newChunk, readChunk, verifyInode } from '../volume/inode.js';
import { AgBtree } from './agtree.js';
import { NoSpaceError } from './alloc.js';
import { newKey } from './btreenode.js';
import { type Buffer, BufferCache } from './buffers.js';
import { BusyExtents } from './busy.js';
import { Checkpoints } from './checkpoint.js';
import { clusterStart, type InodeGeometry, inodeGeometry } from './cluster.js';
import { commitAndFinish, type Deferred, finishIntent } from './defer.js';
import { LiveInode } from './inode.js';
import { Intent } from './items.js';
import { Transaction } from './transaction.js';

export interface EngineOptions {
  /** Write a checkpoint for every transaction: each is a recovery point of its own. Default: collect. */
  readonly eager?: boolean;
  /** Random numbers (generations of inodes) from this seed; default the log's position. */
  readonly seed?: number;
}

export class Engine {
  readonly source: Source;
  readonly g: Geometry;
  readonly inodeGeometry: InodeGeometry;
  readonly log: LogWriter;
  readonly buffers: BufferCache;
  readonly checkpoints: Checkpoints;
  readonly busy = new BusyExtents();
  /** Blocks each AG's trees ask for: see reserve.ts. */
  readonly asked = new Map<number, { metadata: number; rmap: number }>();
  /** How often a refcount btree was asked: a file without the reflink flag never does. */
  refcountLookups = 0;
  /** A chunk of inodes was freed since the last checkpoint. */
  chunkFreed = false;
  /** And a directory block in pieces. */
  piecesFreed = false;
  /** Called behind every commit; with `eager` the log has it by then. */
  onCommit: (() => void) | undefined;
  readonly #eager: boolean;
  readonly #headers = new Map<number, Buffer>();
  #superblock: Buffer;
  #intents: bigint;
  #seed: number;
  #inodes: number | undefined;
  #dataWritten = false;
  #failure: unknown;

  /** `state`: the log, clean or replayed; what the image holds must be what the log left. */
  constructor(source: Source, g: Geometry, state: LogState, options: EngineOptions = {}) {
    this.source = source;
    this.g = g;
    this.inodeGeometry = inodeGeometry(g);
    this.log = new LogWriter(state);
    this.buffers = new BufferCache(source, g);
    this.checkpoints = new Checkpoints(source, g, this.log, this.buffers);
    this.checkpoints.onFlush = () => {
      this.busy.clear();
      this.chunkFreed = false;
      this.piecesFreed = false;
    };
    this.#eager = options.eager ?? false;
    this.#superblock = this.buffers.get(0, g.sectsize, BLFT.SB);
    this.#headers.set(-1, this.#superblock);
    this.#intents = (BigInt(state.head.cycle) << 32n) + (BigInt(state.head.block) << 8n);
    this.#seed = (options.seed ?? state.head.cycle * 65_537 + state.head.block) >>> 0;
  }

  /**
   * Whether metadata may be put on blocks freed since the last checkpoint. Not where a cluster of inodes is
   * one block: what cancels it in the log and what takes its place would be the same buffer, and the inodes
   * logged before would be replayed over it. Nor where a block in pieces was freed: each of them is cancelled
   * for itself, under no buffer's name.
   */
  get reusesBusy(): boolean {
    return !this.piecesFreed && !(this.chunkFreed && this.inodeGeometry.clusterBlocks === 1);
  }

  // ---- buffers

  #header(agno: number, sector: number, type: number): Buffer {
    const key = agno * 4 + sector;
    let buffer = this.#headers.get(key);
    if (buffer === undefined) {
      const { sectsize } = this.g;
      buffer = this.buffers.get(blockOffset(this.g, agno, 0) + sector * sectsize, sectsize, type);
      if (type === BLFT.AGF) verifyAgf(this.g, agno, buffer.bytes, throwFault);
      else if (type === BLFT.AGI) verifyAgi(this.g, agno, buffer.bytes, throwFault);
      else {
        const agf = this.agf(agno).view;
        const first = agf.getUint32(AGF.at.flfirst);
        verifyAgfl(this.g, agno, buffer.bytes, first, agf.getUint32(AGF.at.flcount), throwFault);
      }
      this.#headers.set(key, buffer);
    }
    return buffer;
  }

  agf(agno: number): Buffer {
    return this.#header(agno, 1, BLFT.AGF);
  }
  agi(agno: number): Buffer {
    return this.#header(agno, 2, BLFT.AGI);
  }
  agfl(agno: number): Buffer {
    return this.#header(agno, 3, BLFT.AGFL);
  }
  get superblock(): Buffer {
    return this.#superblock;
  }

  // ---- inodes

  /** The cluster of inodes that begins at a byte offset. */
  inodeCluster(offset: number): Buffer {
    return this.buffers.get(offset, this.inodeGeometry.clusterBlocks * this.g.blocksize, BLFT.DINO);
  }

  /** The same for inodes that do not exist yet: zeros. */
  freshInodes(offset: number): Buffer {
    const length = this.inodeGeometry.clusterBlocks * this.g.blocksize;
    const old = this.buffers.peek(offset, length);
    if (old !== undefined) this.buffers.drop(old);
    return this.buffers.fresh(offset, length, BLFT.DINO);
  }

  /** First block of the cluster that inode `ino` is in. */
  #clusterBlock(agno: number, agino: number): number {
    const ig = this.inodeGeometry;
    const agbno = agbnoOfAgino(this.g, agino);
    if (ig.clusterBlocks === 1) return agbno;
    if (ig.align > 1) return clusterStart(ig, agbno - (agbno % ig.align), agbno);
    // Chunks begin anywhere: the inobt knows.
    const tree = new AgBtree(this.begin(), agno, 'inobt');
    const key = newKey();
    key[0] = agino;
    const chunk = newChunk();
    if (tree.lookupLE(key)) readChunk(this.g, tree.view, tree.at, chunk);
    if (agino < chunk.agino || agino >= chunk.agino + 64 || !chunkHas(chunk, agino - chunk.agino))
      this.#noInode(agino, 'an inode of the inobt');
    return clusterStart(ig, agbnoOfAgino(this.g, chunk.agino), agbno);
  }

  #noInode(ino: number, expected: string): never {
    throw new CorruptionError({ structure: 'dinode', ino, field: 'number', value: ino, expected });
  }

  /**
   * Inode `ino`, checked when it is first asked for. `free`: one that is not in use. Throws CorruptionError.
   */
  inode(ino: number, options: { free?: boolean } = {}): LiveInode {
    const { g } = this;
    if (!isInoInRange(g, ino)) this.#noInode(ino, 'an inode number of this filesystem');
    const agno = agnoOfIno(g, ino);
    const agino = aginoOfIno(g, ino);
    const start = this.#clusterBlock(agno, agino);
    const buffer = this.inodeCluster(blockOffset(g, agno, start));
    const base = (agino - start * g.inopblock) * g.inodesize;
    buffer.inodes ??= new Map();
    let inode = buffer.inodes.get(base);
    if (inode === undefined) {
      inode = new LiveInode(ino, buffer, base, g.inodesize);
      verifyInode(g, inode, options.free !== true, throwFault);
      buffer.inodes.set(base, inode);
    }
    return inode;
  }

  /** Inodes of the filesystem, used and free. */
  inodeCount(): number {
    if (this.#inodes === undefined) {
      this.#inodes = 0;
      for (let agno = 0; agno < this.g.agcount; agno++)
        this.#inodes += this.agi(agno).view.getUint32(AGI.at.count);
    }
    return this.#inodes;
  }

  countInodes(tx: Transaction, delta: number): void {
    const before = this.inodeCount();
    this.#inodes = before + delta;
    tx.onAbort(() => {
      this.#inodes = before;
    });
  }

  // ---- transactions

  /** A new transaction. One at a time is open. */
  begin(): Transaction {
    return new Transaction(this);
  }

  /**
   * Runs one operation: `work` in a transaction, then everything it deferred. Where `work` throws, all of it
   * is undone and the error passed on; where it found no space but blocks freed lately are only waiting for
   * the log, it is run again with those.
   */
  run<T>(work: (tx: Transaction) => T): T {
    this.#check();
    for (let again = false; ; again = true) {
      const tx = this.begin();
      let result: T;
      try {
        result = work(tx);
      } catch (error) {
        tx.abort();
        if (error instanceof NoSpaceError && !again && this.busy.blocks > 0) {
          this.flush();
          continue;
        }
        throw error;
      }
      commitAndFinish(this, tx);
      return result;
    }
  }

  /** Called behind every commit. */
  committed(): void {
    if (this.#eager || this.checkpoints.isFull) this.flush();
    this.onCommit?.();
    this.buffers.trim();
  }

  /** An error after part of an operation was committed: what is left to do is in the log, or nowhere. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  #check(): void {
    if (this.#failure !== undefined)
      throw new Error('an earlier operation failed half-way: nothing more is written', {
        cause: this.#failure,
      });
  }

  /** Writes what is collected to the log and waits for stable storage. */
  flush(): void {
    this.#check();
    if (this.#dataWritten && !this.checkpoints.isEmpty) {
      this.source.sync();
      this.#dataWritten = false;
    }
    this.checkpoints.flush();
  }

  /** The log, then every block in place. */
  settle(): void {
    this.flush();
    this.checkpoints.writeBack();
  }

  /** Writes file data. It is on stable storage before any transaction committed later is in the log. */
  writeData(fsblock: number, bytes: Uint8Array, at = 0): void {
    this.source.write(fsblockOffset(this.g, fsblock) + at, bytes);
    this.#dataWritten = true;
  }

  // ---- intents

  nextIntentId(): bigint {
    this.#intents += 1n;
    return this.#intents;
  }

  /** Takes over an intent recovery found: `region` is as it was logged, `lsn` where. */
  adopt(
    type: number,
    id: bigint,
    region: Uint8Array,
    lsn: { cycle: number; block: number },
    works: readonly Deferred[],
  ): Intent {
    const free = works.flatMap((w) => (w.kind === 'free' ? [w] : []));
    const intent = new Intent(type, id, region, free.length > 0 ? free : undefined);
    intent.lsn = lsn;
    this.checkpoints.adoptIntent(intent);
    return intent;
  }

  /** Finishes an adopted intent. */
  finish(intent: Intent, works: readonly Deferred[]): void {
    this.#check();
    finishIntent(this, intent, works);
  }

  // ---- the end

  /**
   * Leaves the filesystem as a clean unmount would: counters of the superblock summed up, everything in
   * place, an unmount record. Does nothing where nothing was changed, unless `always`.
   */
  close(options: { always?: boolean } = {}): void {
    this.#check();
    if (!options.always && this.checkpoints.isSettled && this.checkpoints.counts.commits === 0) return;
    this.run((tx) => this.#sumCounters(tx));
    this.settle();
    this.log.unmount();
    this.source.sync();
  }

  /** Counters that transactions leave alone: they follow from the AG headers (lazy superblock counters). */
  #sumCounters(tx: Transaction): void {
    const { g } = this;
    let icount = 0;
    let ifree = 0;
    let fdblocks = 0;
    for (let agno = 0; agno < g.agcount; agno++) {
      const agf = this.agf(agno).view;
      const agi = this.agi(agno).view;
      icount += agi.getUint32(AGI.at.count);
      ifree += agi.getUint32(AGI.at.freecount);
      fdblocks +=
        agf.getUint32(AGF.at.freeblks) + agf.getUint32(AGF.at.flcount) + agf.getUint32(AGF.at.btreeblks);
    }
    const { view } = this.#superblock;
    const put = (at: number, value: number): void => {
      tx.edit(this.#superblock, at, 8);
      setU64(view, at, value);
    };
    put(SUPERBLOCK.at.icount, icount);
    put(SUPERBLOCK.at.ifree, ifree);
    put(SUPERBLOCK.at.fdblocks, fdblocks);
  }

  /** A random u32. */
  random(): number {
    // xorshift with an odd multiplier: enough for generation numbers.
    let x = (this.#seed ^ 0x9e37_79b9) >>> 0;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#seed = (x + 0x6d2b_79f5) >>> 0;
    return Math.imul(x, 0x85eb_ca6b) >>> 0;
  }
}
