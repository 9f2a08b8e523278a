/** What xfs_logprint says of a log, and the same of ours, as lists of plain lines to compare. */
import { DINODE, dinodeNaextents, dinodeNextents, dinodeSize } from '../../src/format/dinode.js';
import {
  BUF_LOG_FORMAT,
  DONE_OF,
  ICREATE_LOG,
  INODE_LOG_FORMAT,
  INTENT_OF,
  LI,
  LI_NAME,
  logDinodeIsBigtime,
  swapDinode,
} from '../../src/format/logitems.js';
import { getU64, viewOf } from '../../src/format/structure.js';
import type { LogTransaction } from '../../src/journal/decode.js';
import {
  bufBlkno,
  bufFlags,
  freeExtents,
  inodeCore,
  inodeFields,
  inodeIno,
  intentExtents,
  intentId,
  mapExtents,
  physExtents,
} from '../../src/journal/items.js';
import type { LogItem } from '../../src/journal/logitem.js';
import type { RecordHeader } from '../../src/journal/record.js';
import { run } from '../support/oracle.js';

export interface Logprint {
  head: number;
  tail: number;
  dirty: boolean;
  /** "cycle/block" of every record that recovery reads, in order. */
  records: string[];
  /** Per transaction "tid items", then a line per item. */
  transactions: string[][];
}

/** `xfs_logprint -t`: the transactional view of what is to be replayed. */
export function logprintTransactions(image: string): Logprint {
  const { stdout } = run('xfs_logprint', ['-t', '-i', '-b', image], { status: 'any', encoding: 'latin1' });
  const state = /log tail: (\d+) head: (\d+) state: <(\w+)>/.exec(stdout);
  if (state === null) throw new Error(`xfs_logprint: ${stdout.slice(0, 500)}`);
  const out: Logprint = {
    tail: Number(state[1]),
    head: Number(state[2]),
    dirty: state[3] === 'DIRTY',
    records: [],
    transactions: [],
  };
  let items: string[] = [];
  for (const line of stdout.split('\n')) {
    const record = /^LOG REC AT LSN cycle (\d+) block (\d+)/.exec(line);
    if (record !== null) out.records.push(`${record[1]}/${record[2]}`);
    const transaction = /^TRANS: tid:0x([0-9a-f]+)\s+#items:(\d+)/.exec(line);
    if (transaction !== null) {
      items = [`${Number.parseInt(transaction[1], 16)} ${transaction[2]}`];
      out.transactions.push(items);
    }
    const item = /^([A-Z]+): cnt:\d+ total:\d+ /.exec(line);
    if (item !== null)
      items.push(`${item[1]} ${[...line.matchAll(/ len:(\d+)/g)].map(([, n]) => n).join(',')}`);
    else append(items, line);
  }
  return out;
}

/** Adds what a line says of the item before it. */
function append(items: string[], line: string): void {
  const add = (m: RegExpExecArray | null): void => {
    if (m !== null && items.length > 1) items[items.length - 1] += ` ${m.slice(1).map(plain).join(' ')}`;
  };
  add(/^\tBUF: {2}#regs:\d+ {3}start blkno:(\S+) {3}len:(\d+) .*flags:(\S+)/.exec(line));
  add(/^\tINODE: #regs:\d+ +ino:(\S+) +flags:(\S+) +dsize:(\d+)/.exec(line));
  add(/^\t\tmagic:IN +mode:(\S+) +ver:(\d+) +format:(\d+)/.exec(line));
  add(/^\t\tuid:(\d+) +gid:(\d+) +nlink:(\d+)/.exec(line));
  add(/^\t\tsize:(\S+) +nblks:(\S+) +exsize:(\d+) +nextents:(\d+) +anextents:(\d+)/.exec(line));
  add(/^\t\tforkoff:(\d+) .* flags:(\S+) +gen:(\d+)/.exec(line));
  add(/^\tICR: +#ag: (\d+) +agbno: (\S+) +len: (\d+)/.exec(line));
  add(/^\t +cnt: (\d+) +isize: (\d+) +gen: (\S+)/.exec(line));
  add(/^\t?(?:EFI|RUI|CUI|BUI): .*num_extents: ?(\d+) +id: ?(\S+)/.exec(line));
  add(/^\t?(?:EFD|RUD|CUD|BUD): .* id: ?(\S+)/.exec(line));
  for (const m of line.matchAll(/\(s: (\S+), l: (\d+)(?:, own: (-?\d+), off: (\d+))?(?:, f: (\S+))?\)/g))
    if (/^\t?\(s:/.test(line) && items.length > 1)
      items[items.length - 1] += ` ${m
        .slice(1)
        .filter((s) => s !== undefined)
        .map(plain)
        .join(' ')}`;
}

const plain = (s: string): string => (/^(0x|-?\d)/.test(s) ? BigInt(s).toString() : s);

/** Our transactions in the words of `logprintTransactions`. */
export function ourTransaction(t: LogTransaction): string[] {
  const items = [...t.items];
  const regions = items.reduce((n, item) => n + item.regions.length, 0);
  return [`${t.tid} ${regions}`, ...items.map(ourItem)];
}

const WORD: Record<number, string> = { [LI.INODE]: 'INO', [LI.ICREATE]: 'ICR' };

function ourItem(item: LogItem): string {
  const word = WORD[item.type] ?? LI_NAME[item.type];
  const lengths = item.regions.map((r) => r.length).join(',');
  return [word, lengths, ...details(item)].join(' ');
}

function details(item: LogItem): (number | bigint)[] {
  const { view: v, littleEndian: le } = item;
  switch (item.type) {
    case LI.BUF:
      return [bufBlkno(item), v.getUint16(BUF_LOG_FORMAT.at.len, le), bufFlags(item)];
    case LI.INODE:
      return [inodeIno(item), inodeFields(item), v.getUint16(INODE_LOG_FORMAT.at.dsize, le), ...core(item)];
    case LI.ICREATE: {
      const at = ICREATE_LOG.at;
      return [at.ag, at.agbno, at.length, at.count, at.isize, at.gen].map((a) => v.getUint32(a));
    }
    case LI.EFI:
      return [intentExtents(item), intentId(item), ...freeExtents(item).flatMap((e) => [e.start, e.blocks])];
    case LI.RUI:
    case LI.BUI:
      return [
        intentExtents(item),
        intentId(item),
        ...mapExtents(item).flatMap((e) => [e.start, e.blocks, e.owner, e.offset, e.flags]),
      ];
    case LI.CUI:
      return [
        intentExtents(item),
        intentId(item),
        ...physExtents(item).flatMap((e) => [e.start, e.blocks, e.flags]),
      ];
    default:
      if (DONE_OF[item.type] === undefined && INTENT_OF[item.type] === undefined) return [];
      return [intentId(item)];
  }
}

function core(item: LogItem): number[] {
  const from = inodeCore(item);
  const disk = new Uint8Array(DINODE.size);
  swapDinode(from, disk, 0, item.littleEndian, logDinodeIsBigtime(viewOf(from), 0, item.littleEndian));
  const v = viewOf(disk);
  const at = DINODE.at;
  return [
    v.getUint16(at.mode),
    v.getUint8(at.version),
    v.getUint8(at.format),
    v.getUint32(at.uid),
    v.getUint32(at.gid),
    v.getUint32(at.nlinkv2),
    dinodeSize(v, 0),
    getU64(v, at.nblocks),
    v.getUint32(at.extsize),
    dinodeNextents(v, 0),
    dinodeNaextents(v, 0),
    v.getUint8(at.forkoff),
    v.getUint16(at.flags),
    v.getUint32(at.gen),
  ];
}

/** `xfs_logprint -d`: every record found in the physical log, by its block. */
export function logprintRecords(image: string): Map<number, string> {
  const { stdout } = run('xfs_logprint', ['-d', image], { status: 'any', encoding: 'latin1' });
  const out = new Map<number, string>();
  for (const [, block, cycle, tailCycle, tailBlock, length, ops] of stdout.matchAll(
    /^ *(\d+) HEADER Cycle (\d+) tail (\d+):(\d+) len +(\d+) ops (\d+)/gm,
  ))
    out.set(Number(block), `cycle ${cycle} tail ${tailCycle}/${Number(tailBlock)} len ${length} ops ${ops}`);
  return out;
}

export const ourRecord = (r: RecordHeader): string =>
  `cycle ${r.cycle} tail ${r.tailLsn.cycle}/${r.tailLsn.block} len ${r.len} ops ${r.ops}`;
