/**
 * A transaction: changes to metadata that reach the disk together or not at all.
 *
 * Every range of a buffer and every inode is announced (`edit`, `editInode`) before it is changed: what
 * stood there is kept, so that `abort` can put it back. `commit` hands the changes over to the next
 * checkpoint. What does not fit one transaction, or may only be done once another part is safe, is deferred:
 * `finish` logs intents for it and works it off in transactions that follow (defer.ts).
 */
import { BLF_CHUNK, BLFT, ILOG } from '../format/logitems.js';
import { type Buffer, markChunks, type Piece } from './buffers.js';
import type { Deferred } from './defer.js';
import type { Engine } from './engine.js';
import type { LiveInode } from './inode.js';
import type { Intent } from './items.js';

/** Old contents of ranges, one after another; shared by all transactions, of which one at a time is open. */
let arena = new Uint8Array(1 << 18);

export class Transaction {
  readonly engine: Engine;
  #open = true;
  /** Buffers with the chunks changed here, by this transaction alone. */
  readonly #buffers = new Map<Buffer, Uint32Array>();
  /** Chunks of inode clusters that hold a changed next_unlinked pointer. */
  readonly #unlinked: { buffer: Buffer; chunk: number }[] = [];
  readonly #inodes = new Map<LiveInode, number>();
  readonly #ordered: Buffer[] = [];
  readonly #icreates: Uint8Array[] = [];
  readonly #intents: Intent[] = [];
  readonly #dones: Intent[] = [];
  /** What abort does besides putting bytes back, last first. */
  readonly #undo: (() => void)[] = [];
  readonly #saved: { buffer: Buffer; at: number; from: number; length: number }[] = [];
  #used = 0;
  /** Work to be done in transactions after this one, in the order it came up. */
  deferred: Deferred[] = [];

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Nothing has been changed so far. */
  get isClean(): boolean {
    return this.#buffers.size === 0 && this.#inodes.size === 0 && this.#ordered.length === 0;
  }

  /** Announces a change of `length` bytes at `at`. */
  edit(buffer: Buffer, at: number, length: number): void {
    let bits = this.#buffers.get(buffer);
    if (bits === undefined) {
      bits = new Uint32Array(buffer.dirty.length);
      this.#buffers.set(buffer, bits);
    }
    const last = (at + length - 1) >> 7;
    for (let chunk = at >> 7; chunk <= last; chunk++) {
      const word = chunk >> 5;
      const bit = 1 << (chunk & 31);
      if ((bits[word] & bit) !== 0) continue;
      bits[word] |= bit;
      this.#save(buffer, chunk * BLF_CHUNK, BLF_CHUNK);
    }
  }

  /** Writes a u32 of a buffer. */
  put32(buffer: Buffer, at: number, value: number): void {
    this.edit(buffer, at, 4);
    buffer.view.setUint32(at, value);
  }

  /** Adds to a u32 of a buffer. */
  add32(buffer: Buffer, at: number, delta: number): void {
    this.edit(buffer, at, 4);
    buffer.view.setUint32(at, buffer.view.getUint32(at) + delta);
  }

  /** Announces a change of the whole buffer. */
  editAll(buffer: Buffer): void {
    this.edit(buffer, 0, buffer.length);
  }

  /** Announces a change of an inode; `fields`: which parts of it (ILOG), the core always. */
  editInode(inode: LiveInode, fields = 0): void {
    const known = this.#inodes.get(inode);
    if (known === undefined) {
      this.#save(inode.buffer, inode.base, inode.inodesize);
      inode.bumpChangeCount();
    }
    this.#inodes.set(inode, (known ?? ILOG.CORE) | fields);
  }

  /** Announces a change of an inode's next_unlinked pointer at byte `at` of its cluster's buffer. */
  editUnlinked(buffer: Buffer, at: number): void {
    this.#save(buffer, at, 4);
    this.#unlinked.push({ buffer, chunk: at >> 7 });
  }

  /**
   * A block whose old contents do not matter: zeros, and logged whole with what the caller then puts there.
   */
  fresh(offset: number, length: number, type: number, pieces?: readonly Piece[]): Buffer {
    const { buffers, checkpoints } = this.engine;
    const old = buffers.peek(offset, length);
    if (old === undefined) {
      const buffer = buffers.fresh(offset, length, type, pieces);
      this.#undo.push(() => buffers.drop(buffer));
      this.edit(buffer, 0, length);
      return buffer;
    }
    if (old.stale && (old.isInodes || old.pieces !== undefined || pieces !== undefined)) {
      // Cannot happen before the next flush: chunks of inodes and blocks in pieces stay busy until then.
      checkpoints.removeBuffer(old);
      buffers.drop(old);
      return this.fresh(offset, length, type, pieces);
    }
    const before = old.type;
    const wasStale = old.stale;
    this.#undo.push(() => {
      old.type = before;
      old.stale = wasStale;
    });
    this.edit(old, 0, length);
    old.stale = false;
    return buffers.fresh(offset, length, type, pieces);
  }

  /** A buffer to be written back without being logged: the caller logs how to make it anew. */
  order(buffer: Buffer): void {
    this.#ordered.push(buffer);
    this.#undo.push(() => this.engine.buffers.drop(buffer));
  }

  /** The buffer's blocks are freed: what the log holds of it must not be replayed over their next owner. */
  cancel(buffer: Buffer): void {
    if (buffer.stale) return;
    this.edit(buffer, 0, BLF_CHUNK);
    buffer.stale = true;
    if (buffer.pieces !== undefined) this.engine.piecesFreed = true;
    this.#undo.push(() => {
      buffer.stale = false;
    });
  }

  /** The same for blocks by their place, whether a buffer of them is in memory or not. */
  cancelAt(offset: number, length: number, pieces?: readonly Piece[]): void {
    const { buffers } = this.engine;
    let buffer = buffers.peek(offset, length);
    if (buffer === undefined) {
      const made = buffers.fresh(offset, length, BLFT.UNKNOWN, pieces);
      this.#undo.push(() => buffers.drop(made));
      buffer = made;
    }
    this.cancel(buffer);
  }

  icreate(region: Uint8Array): void {
    this.#icreates.push(region);
  }

  /** Logs an intent with this transaction. */
  intent(intent: Intent): void {
    this.#intents.push(intent);
  }

  /** Logs with this transaction that an intent is finished. */
  done(intent: Intent): void {
    this.#dones.push(intent);
  }

  defer(work: Deferred): void {
    this.deferred.push(work);
  }

  /** Registers what abort has to put back besides bytes. */
  onAbort(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Hands everything over to the next checkpoint. Deferred work must be finished: see `Engine.finish`. */
  commit(): void {
    this.#close();
    const { checkpoints } = this.engine;
    for (const [buffer, bits] of this.#buffers) {
      let changed = 0;
      if (!buffer.isInodes || buffer.stale)
        for (let i = 0; i < bits.length; i++) {
          let fresh = bits[i] & ~buffer.dirty[i];
          buffer.dirty[i] |= bits[i];
          for (; fresh !== 0; fresh &= fresh - 1) changed++;
        }
      checkpoints.addBuffer(buffer, changed);
    }
    for (const { buffer, chunk } of this.#unlinked) {
      markChunks(buffer.dirty, chunk, chunk + 1);
      checkpoints.addBuffer(buffer, 1);
    }
    for (const [inode, fields] of this.#inodes) checkpoints.addInode(inode, fields);
    for (const buffer of this.#ordered) checkpoints.addOrdered(buffer);
    for (const region of this.#icreates) checkpoints.addIcreate(region);
    for (const intent of this.#intents) checkpoints.addIntent(intent);
    for (const intent of this.#dones) checkpoints.finishIntent(intent);
    checkpoints.counts.commits++;
  }

  /** Puts back everything as it was. */
  abort(): void {
    this.#close();
    for (let i = this.#saved.length - 1; i >= 0; i--) {
      const { buffer, at, from, length } = this.#saved[i];
      buffer.bytes.set(arena.subarray(from, from + length), at);
      if (buffer.inodes !== undefined) for (const inode of buffer.inodes.values()) inode.forget();
    }
    for (let i = this.#undo.length - 1; i >= 0; i--) this.#undo[i]();
    this.deferred = [];
  }

  #close(): void {
    if (!this.#open) throw new Error('the transaction is over');
    this.#open = false;
  }

  #save(buffer: Buffer, at: number, length: number): void {
    if (!this.#open) throw new Error('the transaction is over');
    if (this.#used + length > arena.length) {
      const larger = new Uint8Array(arena.length * 2);
      larger.set(arena);
      arena = larger;
    }
    const from = this.#used;
    arena.set(buffer.bytes.subarray(at, at + length), from);
    this.#used += length;
    const last = this.#saved[this.#saved.length - 1];
    if (last !== undefined && last.buffer === buffer && last.at + last.length === at) last.length += length;
    else this.#saved.push({ buffer, at, from, length });
  }
}
