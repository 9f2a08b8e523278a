/** What a log holds for recovery, in numbers: one pass over it, nothing written. */
import { AG_SECTOR, AGI, AGI_UNLINKED_BUCKETS } from '../format/ag.js';
import { blockOffset } from '../format/geometry.js';
import { compareLsnAt, type Lsn } from '../format/log.js';
import { BLFT, blftOf, DONE_OF, INTENT_OF, LI } from '../format/logitems.js';
import { viewOf } from '../format/structure.js';
import { NULLAGINO } from '../format/superblock.js';
import { committedTransactions, LogDecoder, type LogTransaction } from './decode.js';
import type { LogDevice } from './device.js';
import { LogError } from './error.js';
import { applyBuf, bufBlkno, bufFlags, bufIsCancelled, intentId } from './items.js';
import type { LogItem } from './logitem.js';
import type { LogState } from './scan.js';

/** An intent and the transaction it was logged in. */
export interface OpenIntent {
  readonly lsn: Lsn;
  readonly tid: number;
  readonly item: LogItem;
}

/** Intents whose done-item has not been seen, in log order. Feed it every transaction. */
export class IntentTracker {
  readonly #open = new Map<string, OpenIntent>();

  add(transaction: LogTransaction): void {
    const { items } = transaction;
    for (let i = 0; i < items.length; i++) {
      const type = items.type(i);
      if (DONE_OF[type] === undefined && INTENT_OF[type] === undefined) continue;
      const item = items.at(i);
      if (DONE_OF[type] !== undefined) {
        const { lsn, tid } = transaction;
        this.#open.set(`${type} ${intentId(item)}`, { lsn, tid, item: item.copy() });
      } else this.#open.delete(`${INTENT_OF[type]} ${intentId(item)}`);
    }
  }

  get open(): OpenIntent[] {
    return [...this.#open.values()];
  }
}

export interface LogSummary {
  /** Records from tail to head, and what commits in them. */
  records: number;
  transactions: number;
  items: number;
  /** Bytes of all regions. */
  bytes: number;
  buffers: number;
  inodes: number;
  /** Buffers whose earlier images are not to be replayed. */
  cancelled: number;
  /** Transactions that never commit: recovery drops them. */
  uncommitted: number;
  openIntents: OpenIntent[];
  /** Lists of unlinked but not yet freed inodes that recovery will find, once the AGIs are replayed. */
  unlinkedLists: number;
  /** Why the log cannot be replayed to its head; the numbers count what stands before. */
  error: LogError | undefined;
}

/** Decodes the log from tail to head and counts. A clean log has nothing but perhaps unlinked lists. */
export function summarizeLog(state: LogState): LogSummary {
  const tracker = new IntentTracker();
  const decoder = new LogDecoder();
  const agis = new AgiImages(state.device);
  const out: LogSummary = {
    records: 0,
    transactions: 0,
    items: 0,
    bytes: 0,
    buffers: 0,
    inodes: 0,
    cancelled: 0,
    uncommitted: 0,
    openIntents: [],
    unlinkedLists: 0,
    error: undefined,
  };
  try {
    const onRecord = (): number => out.records++;
    for (const transaction of committedTransactions(state, { transient: true, decoder, onRecord })) {
      out.transactions++;
      out.items += transaction.items.length;
      out.bytes += transaction.bytes;
      for (const item of transaction.items) {
        if (item.type === LI.INODE) out.inodes++;
        else if (item.type === LI.BUF) {
          out.buffers++;
          if (bufIsCancelled(item)) out.cancelled++;
          else if (blftOf(bufFlags(item)) === BLFT.AGI) agis.apply(transaction.lsn, item);
        }
      }
      tracker.add(transaction);
    }
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    out.error = error;
  }
  out.uncommitted = decoder.openTransactions;
  out.openIntents = tracker.open;
  out.unlinkedLists = agis.unlinkedLists();
  return out;
}

/** The AGIs as recovery would leave them. */
class AgiImages {
  readonly #device: LogDevice;
  readonly #sectors: Uint8Array[] = [];

  constructor(device: LogDevice) {
    this.#device = device;
  }

  #sector(agno: number): Uint8Array {
    const { g, source } = this.#device;
    if (this.#sectors[agno] === undefined) {
      this.#sectors[agno] = new Uint8Array(g.sectsize);
      source.read(blockOffset(g, agno, 0) + AG_SECTOR.agi * g.sectsize, this.#sectors[agno]);
    }
    return this.#sectors[agno];
  }

  apply(lsn: Lsn, item: LogItem): void {
    const { g } = this.#device;
    const at = bufBlkno(item) * 512;
    const agno = Math.floor(at / (g.agblocks * g.blocksize));
    if (at !== blockOffset(g, agno, 0) + AG_SECTOR.agi * g.sectsize || agno >= g.agcount) return;
    const sector = this.#sector(agno);
    // What is on disk can be newer than what is logged here.
    if (compareLsnAt(viewOf(sector), AGI.at.lsn, lsn) < 0) applyBuf(item, sector);
  }

  unlinkedLists(): number {
    let lists = 0;
    for (let agno = 0; agno < this.#device.g.agcount; agno++) {
      const v = viewOf(this.#sector(agno));
      for (let i = 0; i < AGI_UNLINKED_BUCKETS; i++)
        if (v.getUint32(AGI.at.unlinked + i * 4) !== NULLAGINO) lists++;
    }
    return lists;
  }
}
