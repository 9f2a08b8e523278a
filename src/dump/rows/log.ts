/** `log`: the journal as tables. */
import { BTREES, RMAP_OWNER_NAME } from '../../format/btree.js';
import { DIFLAG2, DINODE, DINODE64 } from '../../format/dinode.js';
import {
  agbnoOfAgino,
  agbnoOfFsblock,
  aginoOfIno,
  agnoOfFsblock,
  agnoOfIno,
  type Geometry,
} from '../../format/geometry.js';
import { formatLsn, XLOG_FMT_NAME } from '../../format/log.js';
import {
  ATTR_FILTER,
  ATTRI_OP_NAME,
  BLF,
  BLFT,
  BLFT_NAME,
  BMAP_EXTENT,
  BMAP_OP_NAME,
  blftOf,
  DONE_OF,
  DQUOT_LOG_FORMAT,
  EXCHMAPS,
  EXTENT_OP_MASK,
  flagNames,
  ICREATE_LOG,
  ILOG,
  INTENT_OF,
  LI,
  REFCOUNT_OP_NAME,
  RMAP_EXTENT,
  RMAP_OP_NAME,
  XMI_LOG_FORMAT,
} from '../../format/logitems.js';
import { bytesToText } from '../../format/text.js';
import {
  checkedRecords,
  committedTransactions,
  itemName,
  type LogTransaction,
} from '../../journal/decode.js';
import { LogReader } from '../../journal/device.js';
import { allRecords, allTransactions } from '../../journal/history.js';
import {
  attrIntent,
  BufChunks,
  bufBlkno,
  bufBytes,
  bufFlags,
  freeExtents,
  inodeFields,
  inodeIno,
  intentId,
  mapExtents,
  physExtents,
  u64Of,
} from '../../journal/items.js';
import { LogItem } from '../../journal/logitem.js';
import { type LogRecord, recordCrcHolds } from '../../journal/record.js';
import type { LogState } from '../../journal/scan.js';
import { type OpenIntent, summarizeLog } from '../../journal/status.js';
import { Ascii } from '../ascii.js';
import { any, emitRow, oneOf, optional, type RowSink, setAscii, table, text, u64, uint } from '../table.js';
import { intentWords } from './logwords.js';

export const LOG_STATUS = table('log status', 'a property of the log', {
  property: text('what is told'),
  value: any('its value; LSNs as cycle/block, blocks of 512 bytes from the start of the log'),
});

export const LOG_RECORDS = table('log records', 'a record of the log', {
  lsn: text('its LSN, as cycle/block; blocks are of 512 bytes, from the start of the log'),
  tail: text('LSN of the oldest record that was still needed when it was written'),
  blocks: uint('512-byte blocks it takes, headers and data'),
  headers: uint('how many of them are headers'),
  bytes: uint('bytes of data'),
  ops: uint('operations in the data'),
  format: text('byte order and system of the writer'),
  crc: oneOf(['good', 'none', 'bad'], 'its checksum; mkfs writes none'),
});

export const LOG_TRANSACTIONS = table('log transactions', 'a transaction that committed', {
  lsn: text('LSN of the record it starts in: what it changes is stamped with it'),
  commit: text('LSN of the record it commits in'),
  tid: uint('transaction id'),
  items: uint('log items'),
  bytes: uint('bytes logged'),
  buffers: uint('items that change a buffer'),
  inodes: uint('items that change an inode'),
  intents: uint('items that announce work for later transactions'),
  dones: uint('items that finish such work'),
});

export const LOG_ITEMS = table('log items', 'what a committed transaction changes', {
  lsn: text('LSN of its transaction'),
  tid: uint('transaction id'),
  item: uint('number of the item within its transaction, from 0; an intent has a row per extent'),
  type: text('kind of log item: buf, inode, icreate, efi, efd, rui, rud, cui, cud, bui, bud, attri, ...'),
  structure: optional(text('what is changed: agf, bnobt, inode, dir data, extent, ...')),
  ino: optional(u64('inode changed, or owner of the extent')),
  agno: optional(uint('AG of the block')),
  agbno: optional(uint('first block within the AG')),
  blocks: optional(uint('filesystem blocks; a part of one counts as 1')),
  offset: optional(u64('file offset of the extent, in blocks')),
  id: optional(text('what ties an intent to its done-item')),
  detail: text('bytes changed, or fields, or the operation'),
});

/** Emits the rows; the number of open intents and such come from decoding the whole log. */
export function dumpLogStatus(state: LogState, sink: RowSink): ReturnType<typeof summarizeLog> {
  const { device } = state;
  const row = (property: string, value: string | number): void =>
    emitRow(sink, LOG_STATUS, { property, value });
  const summary = summarizeLog(state);
  row('state', summary.error === undefined ? (state.clean ? 'clean' : 'dirty') : 'damaged');
  row('head', formatLsn(state.head));
  row('tail', formatLsn(state.tail));
  if (state.last !== undefined) {
    row('last record', formatLsn(state.last.lsn));
    row('format', XLOG_FMT_NAME[state.last.fmt] ?? String(state.last.fmt));
  }
  if (state.zeroed) row('never written', 'true');
  if (state.torn !== undefined) row('torn record cut off at block', state.torn);
  if (state.overwrittenTail !== undefined) row('overwritten tail at block', state.overwrittenTail);
  row('log blocks', device.blocks);
  row('records to replay', summary.records);
  row('transactions to replay', summary.transactions);
  row('items to replay', summary.items);
  row('buffers', summary.buffers);
  row('cancelled buffers', summary.cancelled);
  row('inodes', summary.inodes);
  row('bytes', summary.bytes);
  row('uncommitted transactions', summary.uncommitted);
  row('intents without a done', summary.openIntents.length);
  const kinds = new Map<string, number>();
  for (const { item } of summary.openIntents)
    kinds.set(itemName(item.type), (kinds.get(itemName(item.type)) ?? 0) + 1);
  for (const [kind, count] of kinds) row(`open ${kind}`, count);
  row('lists of unlinked inodes', summary.unlinkedLists);
  for (const { item } of summary.openIntents)
    for (const words of intentWords(device.g, item)) row(`recovery of ${itemName(item.type)}`, words);
  if (summary.unlinkedLists > 0) row('recovery of unlinked inodes', 'frees the files nobody names any more');
  if (summary.error !== undefined) row('damage', summary.error.message);
  return summary;
}

export function dumpLogRecords(state: LogState, sink: RowSink, all: boolean): void {
  const { num, text: cells } = sink;
  const { at } = LOG_RECORDS;
  const emit = (r: LogRecord, crc: string): void => {
    const blocks = r.headerBlocks + Math.ceil(r.len / 512);
    cells[at.lsn] = formatLsn(r.lsn);
    cells[at.tail] = formatLsn(r.tailLsn);
    num[at.blocks] = blocks;
    num[at.headers] = r.headerBlocks;
    num[at.bytes] = r.len;
    num[at.ops] = r.ops;
    cells[at.format] = XLOG_FMT_NAME[r.fmt] ?? String(r.fmt);
    cells[at.crc] = crc;
    sink.emit();
  };
  if (all) {
    const reader = new LogReader(state.device);
    for (const r of allRecords(state, reader)) {
      emit(r, recordCrcHolds(r) ? 'good' : 'none');
      reader.release(r.chunk);
    }
    return;
  }
  if (state.clean) return;
  const reader = new LogReader(state.device);
  for (const r of checkedRecords(state, state.tail.block, state.head.block, reader)) {
    emit(r, 'good');
    reader.release(r.chunk);
  }
}

const transactionsOf = (state: LogState, all: boolean): Generator<LogTransaction> =>
  all ? allTransactions(state) : committedTransactions(state, { transient: true });

export function dumpLogTransactions(state: LogState, sink: RowSink, all: boolean): void {
  const { num, text: cells } = sink;
  const { at } = LOG_TRANSACTIONS;
  for (const t of transactionsOf(state, all)) {
    let buffers = 0;
    let inodes = 0;
    let intents = 0;
    let dones = 0;
    for (let i = 0; i < t.items.length; i++) {
      const type = t.items.type(i);
      if (type === LI.BUF) buffers++;
      else if (type === LI.INODE) inodes++;
      else if (DONE_OF[type] !== undefined) intents++;
      else if (INTENT_OF[type] !== undefined) dones++;
    }
    cells[at.lsn] = formatLsn(t.lsn);
    cells[at.commit] = formatLsn(t.commitLsn);
    num[at.tid] = t.tid;
    num[at.items] = t.items.length;
    num[at.bytes] = t.bytes;
    num[at.buffers] = buffers;
    num[at.inodes] = inodes;
    num[at.intents] = intents;
    num[at.dones] = dones;
    sink.emit();
  }
}

export function dumpLogItems(state: LogState, sink: RowSink, all: boolean): void {
  const writer = new ItemWriter(state.device.g, sink);
  const item = new LogItem();
  for (const t of transactionsOf(state, all)) {
    writer.begin(t);
    for (let i = 0; i < t.items.length; i++) {
      t.items.load(i, item);
      writer.item(i, item);
    }
  }
}

/** Emits rows of LOG_ITEMS for intents alone; their place within their transactions is not told. */
export function dumpIntents(g: Geometry, intents: readonly OpenIntent[], sink: RowSink): void {
  const writer = new ItemWriter(g, sink);
  for (const { lsn, tid, item } of intents) {
    writer.begin({ lsn, tid });
    writer.item(Number.NaN, item);
  }
}

const AT = LOG_ITEMS.at;
const BTREE_OF_MAGIC = new Map<number, string>(Object.values(BTREES).map((k) => [k.magic, k.name]));

const btreeName = (b: Uint8Array, at: number): string | undefined =>
  BTREE_OF_MAGIC.get(((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0);

/** Fills the cells of one item's rows; cells a kind has no value for are emptied first. */
class ItemWriter {
  readonly #g: Geometry;
  readonly #sink: RowSink;
  readonly #agBytes: number;
  readonly #chunks = new BufChunks();
  readonly #detail = new Ascii();

  constructor(g: Geometry, sink: RowSink) {
    this.#g = g;
    this.#sink = sink;
    this.#agBytes = g.agblocks * g.blocksize;
  }

  begin(t: Pick<LogTransaction, 'lsn' | 'tid'>): void {
    this.#sink.text[AT.lsn] = formatLsn(t.lsn);
    this.#sink.num[AT.tid] = t.tid;
  }

  item(index: number, item: LogItem): void {
    const { num, text: cells } = this.#sink;
    num[AT.item] = index;
    cells[AT.type] = itemName(item.type);
    cells[AT.structure] = null;
    cells[AT.id] = null;
    num[AT.ino] = Number.NaN;
    num[AT.agno] = Number.NaN;
    num[AT.agbno] = Number.NaN;
    num[AT.blocks] = Number.NaN;
    num[AT.offset] = Number.NaN;
    switch (item.type) {
      case LI.BUF:
        return this.#buf(item);
      case LI.INODE:
        return this.#inode(item);
      case LI.ICREATE:
        return this.#icreate(item);
      case LI.DQUOT:
        return this.#emit(`quota id ${item.u32(DQUOT_LOG_FORMAT.at.id)}`);
      case LI.EFI:
      case LI.EFD:
      case LI.EFI_RT:
      case LI.EFD_RT:
        return this.#free(item);
      case LI.RUI:
      case LI.RUI_RT:
        return this.#rmap(item);
      case LI.CUI:
      case LI.CUI_RT:
        return this.#refcount(item);
      case LI.BUI:
        return this.#bmap(item);
      case LI.ATTRI:
        return this.#attr(item);
      case LI.XMI:
        return this.#exchange(item);
      default:
        if (INTENT_OF[item.type] !== undefined) this.#id(item);
        return this.#emit('');
    }
  }

  #emit(detail: string): void {
    this.#sink.text[AT.detail] = detail;
    this.#sink.emit();
  }

  #emitAscii(detail: Ascii): void {
    setAscii(this.#sink, AT.detail, detail);
    this.#sink.emit();
  }

  #id(item: LogItem): void {
    this.#sink.text[AT.id] = `0x${intentId(item).toString(16)}`;
  }

  #buf(item: LogItem): void {
    const { num, text: cells } = this.#sink;
    const flags = bufFlags(item);
    const from = bufBlkno(item) * 512;
    const agno = Math.floor(from / this.#agBytes);
    const { blocksize } = this.#g;
    num[AT.agno] = agno;
    num[AT.agbno] = Math.floor((from - agno * this.#agBytes) / blocksize);
    num[AT.blocks] = Math.ceil(bufBytes(item) / blocksize);
    const blft = blftOf(flags);
    let structure: string = BLFT_NAME[blft] ?? String(blft);
    const cancelled = (flags & BLF.CANCEL) !== 0;
    const detail = this.#detail.clear();
    if (cancelled) detail.word('cancelled');
    let begin = -1;
    let end = -1;
    const chunks = this.#chunks;
    if (!cancelled)
      for (chunks.start(item); chunks.next(); ) {
        const { offset, length } = chunks;
        if (offset === 0 && blft === BLFT.BTREE) structure = btreeName(chunks.memory, chunks.at) ?? structure;
        if (offset !== end) {
          if (begin >= 0)
            detail
              .integer(begin)
              .word('-')
              .integer(end - 1)
              .word(' ');
          begin = offset;
        }
        end = offset + length;
      }
    if (begin >= 0)
      detail
        .integer(begin)
        .word('-')
        .integer(end - 1);
    // A cancelled buffer is of no kind any more.
    cells[AT.structure] = cancelled && blft === BLFT.UNKNOWN ? null : structure;
    this.#emitAscii(detail);
  }

  #place(ino: number): void {
    const { num } = this.#sink;
    num[AT.ino] = ino;
    num[AT.agno] = agnoOfIno(this.#g, ino);
    num[AT.agbno] = agbnoOfAgino(this.#g, aginoOfIno(this.#g, ino));
  }

  #inode(item: LogItem): void {
    this.#place(inodeIno(item));
    this.#sink.num[AT.blocks] = 1;
    this.#sink.text[AT.structure] = 'inode';
    // The few fields shown, read where they stand: the core is a dinode in the item's byte order.
    const le = item.littleEndian;
    const v = item.data;
    const core = item.start(1);
    const at = DINODE.at;
    const nrext64 = (v.getUint32(core + at.flags2 + (le ? 0 : 4), le) & DIFLAG2.NREXT64) !== 0;
    const extents = nrext64 ? u64Of(v, core + DINODE64.at.nextents, le) : v.getUint32(core + at.nextents, le);
    const detail = this.#detail.clear().word(inodeFieldNames(inodeFields(item)));
    detail.word(' mode ').word(octalMode(v.getUint16(core + at.mode, le)));
    detail.word(' nlink ').integer(v.getUint32(core + at.nlinkv2, le));
    detail.word(' size ').integer(u64Of(v, core + at.size, le));
    this.#emitAscii(detail.word(' extents ').integer(extents));
  }

  #icreate(item: LogItem): void {
    const { num, text: cells } = this.#sink;
    const { view: v } = item;
    const at = ICREATE_LOG.at;
    cells[AT.structure] = 'inodes';
    num[AT.agno] = v.getUint32(at.ag);
    num[AT.agbno] = v.getUint32(at.agbno);
    num[AT.blocks] = v.getUint32(at.length);
    this.#emit(
      `${v.getUint32(at.count)} inodes of ${v.getUint32(at.isize)} bytes, generation ${v.getUint32(at.gen)}`,
    );
  }

  #extent(item: LogItem, fsblock: number, blocks: number, detail: string): void {
    const { num } = this.#sink;
    num[AT.blocks] = blocks;
    if (item.type >= LI.EFI_RT) return this.#emit(`${detail} realtime block ${fsblock}`);
    num[AT.agno] = agnoOfFsblock(this.#g, fsblock);
    num[AT.agbno] = agbnoOfFsblock(this.#g, fsblock);
    this.#emit(detail);
  }

  #free(item: LogItem): void {
    this.#id(item);
    this.#sink.text[AT.structure] = 'extent';
    const detail = item.type === LI.EFI || item.type === LI.EFI_RT ? 'free' : 'freed';
    const extents = freeExtents(item);
    if (extents.length === 0) this.#emit(detail);
    for (const { start, blocks } of extents) this.#extent(item, start, blocks, detail);
  }

  #rmap(item: LogItem): void {
    this.#id(item);
    this.#sink.text[AT.structure] = 'rmap';
    for (const { owner, start, offset, blocks, flags } of mapExtents(item)) {
      let detail = RMAP_OP_NAME[flags & EXTENT_OP_MASK] ?? `operation ${flags & EXTENT_OP_MASK}`;
      if ((flags & RMAP_EXTENT.ATTR_FORK) !== 0) detail += ' attr';
      if ((flags & RMAP_EXTENT.BMBT_BLOCK) !== 0) detail += ' bmbt';
      if ((flags & RMAP_EXTENT.UNWRITTEN) !== 0) detail += ' unwritten';
      if (owner < 0) detail += ` owner ${RMAP_OWNER_NAME[owner] ?? owner}`;
      this.#sink.num[AT.ino] = owner < 0 ? Number.NaN : owner;
      this.#sink.num[AT.offset] = owner < 0 ? Number.NaN : offset;
      this.#extent(item, start, blocks, detail);
    }
  }

  #refcount(item: LogItem): void {
    this.#id(item);
    this.#sink.text[AT.structure] = 'refcount';
    for (const { start, blocks, flags } of physExtents(item))
      this.#extent(
        item,
        start,
        blocks,
        REFCOUNT_OP_NAME[flags & EXTENT_OP_MASK] ?? `operation ${flags & EXTENT_OP_MASK}`,
      );
  }

  #bmap(item: LogItem): void {
    this.#id(item);
    this.#sink.text[AT.structure] = 'bmap';
    for (const { owner, start, offset, blocks, flags } of mapExtents(item)) {
      let detail = BMAP_OP_NAME[flags & EXTENT_OP_MASK] ?? `operation ${flags & EXTENT_OP_MASK}`;
      if ((flags & BMAP_EXTENT.ATTR_FORK) !== 0) detail += ' attr';
      if ((flags & BMAP_EXTENT.UNWRITTEN) !== 0) detail += ' unwritten';
      if ((flags & BMAP_EXTENT.REALTIME) !== 0) detail += ' realtime';
      this.#sink.num[AT.ino] = owner;
      this.#sink.num[AT.offset] = offset;
      this.#extent(item, start, blocks, detail);
    }
  }

  #attr(item: LogItem): void {
    this.#id(item);
    this.#sink.text[AT.structure] = 'attr';
    const a = attrIntent(item);
    this.#place(a.ino);
    const parent = (a.filter & ATTR_FILTER.PARENT) !== 0;
    const space = parent
      ? 'parent'
      : (a.filter & ATTR_FILTER.ROOT) !== 0
        ? 'trusted'
        : (a.filter & ATTR_FILTER.SECURE) !== 0
          ? 'security'
          : 'user';
    let detail = `${ATTRI_OP_NAME[a.op]} ${space}.${bytesToText(a.name)}`;
    if (a.newName.length > 0) detail += ` by ${space}.${bytesToText(a.newName)}`;
    if (a.value.length > 0) detail += ` (${a.value.length} bytes)`;
    this.#emit(detail);
  }

  #exchange(item: LogItem): void {
    this.#id(item);
    const { view: v, littleEndian: le } = item;
    const at = XMI_LOG_FORMAT.at;
    this.#sink.text[AT.structure] = 'bmap';
    this.#place(u64Of(v, at.inode1, le));
    this.#sink.num[AT.offset] = u64Of(v, at.startoff1, le);
    this.#sink.num[AT.blocks] = u64Of(v, at.blockcount, le);
    const flags = flagNames(u64Of(v, at.flags, le), EXCHMAPS).join(' ');
    this.#emit(
      `exchange with inode ${u64Of(v, at.inode2, le)} offset ${u64Of(v, at.startoff2, le)}${flags === '' ? '' : ` ${flags}`}`,
    );
  }
}

const octalModes = new Map<number, string>();
function octalMode(mode: number): string {
  let text = octalModes.get(mode);
  if (text === undefined) {
    text = mode.toString(8).padStart(6, '0');
    octalModes.set(mode, text);
  }
  return text;
}

/** "core ddata"; kept, for there are few combinations and many inodes. */
const fieldNames = new Map<number, string>();
function inodeFieldNames(fields: number): string {
  let names = fieldNames.get(fields);
  if (names === undefined) {
    names = flagNames(fields, ILOG).join(' ');
    if (fieldNames.size < 1000) fieldNames.set(fields, names);
  }
  return names;
}
