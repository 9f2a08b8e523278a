/** A btree block by block and record by record, as it stands on disk: every level, in xfs_db's names. */
import { AG_BTREE_MAXLEVELS } from '../format/ag.js';
import { BTREES, type BtreeKind, type BtreeName, keyAt, ptrAt, recordAt, recordOf } from '../format/btree.js';
import { FORK_FORMAT } from '../format/dinode.js';
import type { Report } from '../format/fault.js';
import type { Lsn } from '../format/log.js';
import { getU64, type Structure } from '../format/structure.js';
import { agTree, type Tree, walkBlocks } from '../volume/btree.js';
import { walkRecords } from '../volume/check.js';
import { type ForkName, forkFormat, forkTree, walkExtents } from '../volume/fork.js';
import type { Inode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import { type AgOptions, eachAg } from './ags.js';
import { checkLsn } from './fields.js';
import { any, type Column, optional, type RowSink, type Table, table, text, u64, uint } from './table.js';

const PLACE = {
  level: uint('level of the block: 0 is a leaf'),
  agno: uint('allocation group'),
  agbno: uint('the block, counted from the start of the AG'),
} as const;

/** What the fields of records and keys say; the names are the same in all trees. */
const ABOUT: Record<string, string> = {
  startblock: 'first block of the run',
  blockcount: 'length in blocks',
  startino: 'first inode of the chunk, counted from the start of the AG',
  holemask: 'one bit for four inodes that have no blocks',
  count: 'inodes of the chunk',
  freecount: 'free inodes of the chunk',
  free: 'one bit for each free inode',
  owner: 'inode number, or a negative code: -3 fs, -4 log, -5 ag, -6 inobt, -7 inodes, -8 refcount, -9 cow',
  offset: 'where the run begins in its owner, in blocks',
  extentflag: '1: unwritten',
  attrfork: '1: of the attribute fork',
  bmbtblock: '1: a block of the bmbt itself',
  cowflag: '1: of the CoW domain',
  refcount: 'owners of the run',
  startoff: 'where the run begins in the fork, in blocks',
};

const fieldType = (name: string) => optional(any(ABOUT[name] ?? name));

function btreeTable(kind: BtreeKind): Table {
  const columns: Record<string, Omit<Column, 'name'>> = {
    ...PLACE,
    index: uint('number of the record or key in its block, from 1'),
  };
  for (const { name } of kind.record.fields) columns[name] = fieldType(name);
  if (kind.overlapping)
    for (const { name } of kind.key.fields)
      columns[`${name}_hi`] = optional(any(`in a node, the highest below: ${ABOUT[name]}`));
  columns.ptr = optional(u64(`in a node, the block below: ${kind.long ? 'fsblock' : 'agbno'}`));
  return table(`btree ${kind.name}`, `a record of the ${kind.name}, or a key of one of its nodes`, columns);
}

/** One table for each tree: its columns are the record's. */
export const BTREE_TABLES: Readonly<Record<BtreeName, Table>> = {
  bnobt: btreeTable(BTREES.bnobt),
  cntbt: btreeTable(BTREES.cntbt),
  inobt: btreeTable(BTREES.inobt),
  finobt: btreeTable(BTREES.finobt),
  rmapbt: btreeTable(BTREES.rmapbt),
  refcountbt: btreeTable(BTREES.refcountbt),
  bmbt: btreeTable(BTREES.bmbt),
};

export const BTREE_BLOCKS = table('btree blocks', 'a block of a btree', {
  ...PLACE,
  magic: text('the four letters it begins with'),
  numrecs: uint('records or keys in it'),
  leftsib: optional(u64('block to the left at this level: agbno, of a bmbt fsblock')),
  rightsib: optional(u64('block to the right at this level')),
  bno: u64('its own address in 512-byte units'),
  lsn: any('log sequence number of the last write'),
  uuid: text('UUID of the filesystem'),
  owner: u64('AG number, of a bmbt inode number'),
  crc: uint('checksum'),
});

export interface BtreeOptions extends AgOptions {
  /** Blocks instead of records. */
  readonly blocks?: boolean;
  /** Head of the log: no block can have a later LSN. */
  readonly head?: Lsn;
}

type BlockEmitter = (block: DataView, level: number, agno: number, agbno: number) => void;

function recordEmitter(volume: Volume, kind: BtreeKind, sink: RowSink): BlockEmitter {
  const { g } = volume;
  const of = BTREE_TABLES[kind.name];
  const at = of.at as Record<string, number>;
  const record = recordOf(kind, g.features.sparseInodes);
  const fill = (s: Structure, block: DataView, base: number, suffix = ''): void => {
    for (const { name, type, offset } of s.fields)
      sink.any[at[name + suffix]] = type.get(block, base + offset, false) as number | bigint;
  };
  return (block, level, agno, agbno) => {
    sink.num[at.level] = level;
    sink.num[at.agno] = agno;
    sink.num[at.agbno] = agbno;
    for (let i = 0; i < sink.any.length; i++) sink.any[i] = null;
    sink.num[at.ptr] = Number.NaN;
    const numrecs = block.getUint16(kind.header.at.numrecs);
    for (let i = 0; i < numrecs; i++) {
      sink.num[at.index] = i + 1;
      if (level === 0) fill(record, block, recordAt(kind, i));
      else {
        fill(kind.key, block, keyAt(kind, i));
        if (kind.overlapping) fill(kind.key, block, keyAt(kind, i) + kind.key.size, '_hi');
        const p = ptrAt(kind, g.blocksize, i);
        sink.num[at.ptr] = kind.long ? getU64(block, p) : block.getUint32(p);
      }
      sink.emit();
    }
  };
}

function blockEmitter(kind: BtreeKind, sink: RowSink): BlockEmitter {
  const { at } = BTREE_BLOCKS;
  const nothing = kind.long ? 2 ** 64 : 0xffff_ffff;
  return (block, level, agno, agbno) => {
    const h = kind.header.decode(block, 0) as Record<string, number | bigint | string>;
    const sibling = (value: number | bigint | string): number =>
      Number(value) === nothing ? Number.NaN : Number(value);
    sink.num[at.level] = level;
    sink.num[at.agno] = agno;
    sink.num[at.agbno] = agbno;
    sink.text[at.magic] = String.fromCharCode(...new Uint8Array(block.buffer, block.byteOffset, 4));
    sink.num[at.numrecs] = Number(h.numrecs);
    sink.num[at.leftsib] = sibling(h.leftsib);
    sink.num[at.rightsib] = sibling(h.rightsib);
    sink.num[at.bno] = Number(h.bno);
    sink.any[at.lsn] = h.lsn;
    sink.text[at.uuid] = String(h.uuid);
    sink.num[at.owner] = Number(h.owner);
    sink.num[at.crc] = Number(h.crc);
    sink.emit();
  };
}

/** Emits an AG btree, level by level from the root down, each from left to right. */
export function dumpAgBtree(
  volume: Volume,
  sink: RowSink,
  name: Exclude<BtreeName, 'bmbt'>,
  options: BtreeOptions = {},
): void {
  const kind = BTREES[name];
  const emit = options.blocks ? blockEmitter(kind, sink) : recordEmitter(volume, kind, sink);
  eachAg(volume, options, (agno, report) => {
    emitTree(volume, agTree(volume, agno, name, silent), withLsn(kind, emit, options.head, report));
    walkRecords(volume, agno, name, undefined, report);
  });
}

/** The walk that emits is followed by one that checks records too and reports. */
const silent: Report = () => {};

/** An emitter that looks at each block's LSN too. */
function withLsn(
  kind: BtreeKind,
  emit: BlockEmitter,
  head: Lsn | undefined,
  report: Report,
  ino?: number,
): BlockEmitter {
  const at = kind.header.fields.find((f) => f.name === 'lsn')!.offset;
  return (block, level, agno, agbno) => {
    checkLsn(block, at, head, { structure: kind.name, ino, agno, agbno, field: 'lsn' }, report);
    emit(block, level, agno, agbno);
  };
}

/** Level by level from the root down, as xfs_db's btdump does. */
function emitTree(volume: Volume, tree: Tree, emit: BlockEmitter): void {
  for (let wanted = Math.min(tree.levels, AG_BTREE_MAXLEVELS + 1) - 1; wanted >= 0; wanted--)
    walkBlocks(
      volume,
      tree,
      (block, level, agno, agbno) => {
        if (level === wanted) emit(block, level, agno, agbno);
      },
      silent,
      wanted,
    );
}

/** Emits the bmbt of an inode's fork; nothing where the fork has none. */
export function dumpBmbt(
  volume: Volume,
  sink: RowSink,
  inode: Inode,
  fork: ForkName,
  options: BtreeOptions = {},
): void {
  const report = options.report ?? volume.report;
  if (forkFormat(inode, fork) !== FORK_FORMAT.BTREE) return;
  const emit = options.blocks ? blockEmitter(BTREES.bmbt, sink) : recordEmitter(volume, BTREES.bmbt, sink);
  const tree = forkTree(volume.g, inode, fork, silent);
  if (tree !== undefined) emitTree(volume, tree, withLsn(BTREES.bmbt, emit, options.head, report, inode.ino));
  walkExtents(volume, inode, fork, () => {}, report);
}
