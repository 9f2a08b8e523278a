/** An inode field by field: its core, and what its forks hold, as xfs_db names it. */
import { ATTR_FLAG, ATTR_SF_ENTRY, ATTR_SF_HDR, attrSfEntrySize } from '../format/attr.js';
import { BMDR_BLOCK, maxRootRecords } from '../format/btree.js';
import {
  DIFLAG,
  DIFLAG2,
  DINODE,
  dinodeLayout,
  FORK_FORMAT,
  FORK_FORMAT_NAME,
  S_IF,
  type Timespec,
} from '../format/dinode.js';
import { FTYPE, SF_ENTRY, sfEntrySize, sfHdrSize, sfIno } from '../format/dir.js';
import { EXTENT_SIZE, extentBlocks, extentFsblock, extentOffset, extentUnwritten } from '../format/extent.js';
import { CorruptionError, type Report } from '../format/fault.js';
import type { Lsn } from '../format/log.js';
import { fileType, fileTypeOfFtype, flagNames, modeString } from '../format/mode.js';
import { getU64, type Value } from '../format/structure.js';
import { bytesToText } from '../format/text.js';
import { isoTime } from '../format/time.js';
import { walkDir } from '../volume/dir.js';
import {
  type ForkName,
  forkAt,
  forkExtents,
  forkFormat,
  forkSize,
  walkExtents,
  walkForkBlocks,
} from '../volume/fork.js';
import { type Inode, readInode, verifyInode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import { checkLsn, FIELD_COLUMNS, FieldRows, noteCrc, noteHex, noteLsn, noteMagic } from './fields.js';
import { type RowSink, table, uint } from './table.js';

export const INODE = table('inode', 'a field of an inode', {
  ino: uint('inode number'),
  ...FIELD_COLUMNS,
});

export interface InodeOptions {
  readonly report?: Report;
  /** Head of the log: no inode can have a later LSN. */
  readonly head?: Lsn;
}

/** Bits of di_flags and di_flags2 in the order and under the names of xfs_db. */
const FLAGS: readonly [string, number][] = [
  ['newrtbm', DIFLAG.NEWRTBM],
  ['prealloc', DIFLAG.PREALLOC],
  ['realtime', DIFLAG.REALTIME],
  ['immutable', DIFLAG.IMMUTABLE],
  ['append', DIFLAG.APPEND],
  ['sync', DIFLAG.SYNC],
  ['noatime', DIFLAG.NOATIME],
  ['nodump', DIFLAG.NODUMP],
  ['rtinherit', DIFLAG.RTINHERIT],
  ['projinherit', DIFLAG.PROJINHERIT],
  ['nosymlinks', DIFLAG.NOSYMLINKS],
  ['extsz', DIFLAG.EXTSIZE],
  ['extszinherit', DIFLAG.EXTSZINHERIT],
  ['nodefrag', DIFLAG.NODEFRAG],
  ['filestream', DIFLAG.FILESTREAM],
];
const FLAGS2: readonly [string, number][] = [
  ['reflink', DIFLAG2.REFLINK],
  ['cowextsz', DIFLAG2.COWEXTSIZE],
  ['dax', DIFLAG2.DAX],
  ['bigtime', DIFLAG2.BIGTIME],
  ['nrext64', DIFLAG2.NREXT64],
];

/** Fields of the core, before the unlinked pointer, and of the version 3 part behind it. */
const CORE = [
  'magic',
  'mode',
  'version',
  'format',
  'onlink',
  'uid',
  'gid',
  'nlinkv2',
  'projid_lo',
  'projid_hi',
] as const;
const CORE2 = [
  'size',
  'nblocks',
  'extsize',
  'nextents',
  'naextents',
  'forkoff',
  'aformat',
  'dmevmask',
] as const;

/** Emits the fields of each inode as they stand; faults of an inode are reported after its rows. */
export function dumpInode(
  volume: Volume,
  sink: RowSink,
  inos: readonly number[],
  options: InodeOptions = {},
): void {
  const report = options.report ?? volume.report;
  for (const ino of inos) {
    let inode: Inode;
    try {
      inode = readInode(volume, ino, { verify: false });
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      report(error.fault);
      continue;
    }
    sink.num[INODE.at.ino] = ino;
    const rows = new FieldRows(sink, INODE.at.field);
    emitCore(volume, inode, rows);
    emitFork(volume, inode, 'data', rows);
    emitFork(volume, inode, 'attr', rows);
    if (inode.mode === 0) verifyInode(volume.g, inode, false, report);
    const { view, base } = inode;
    checkLsn(view, base + DINODE.at.lsn, options.head, { structure: 'dinode', ino, field: 'lsn' }, report);
    checkInode(volume, inode, report);
  }
}

/** What the inode's counts are held against: the extents and btrees of its forks, a directory's entries. */
function checkInode(volume: Volume, inode: Inode, report: Report): void {
  const { ino } = inode;
  let faults = 0;
  const counting: Report = (fault) => {
    faults++;
    report(fault);
  };
  if (inode.mode === 0 || !verifyInode(volume.g, inode, true, counting)) return;
  let blocks = 0;
  for (const fork of ['data', 'attr'] as const) {
    walkExtents(volume, inode, fork, (_offset, _fsblock, n) => (blocks += n), counting);
    walkForkBlocks(
      volume,
      inode,
      fork,
      () => blocks++,
      () => {},
    );
  }
  const bad = (field: string, value: number, expected: string): void =>
    report({ structure: 'dinode', ino, field, value, expected });
  if (faults === 0 && blocks !== inode.nblocks)
    bad('nblocks', inode.nblocks, `${blocks}, what its extents (nextents, naextents) and their btrees take`);
  if (!inode.isDir) return;
  let subdirectories = 0;
  let known = volume.g.features.ftype;
  try {
    const count = (ftype: number): void => {
      if (ftype === FTYPE.DIR) subdirectories++;
      else if (ftype === FTYPE.UNKNOWN) known = false;
    };
    walkDir(volume, inode, (_block, _from, _to, _ino, ftype) => count(ftype), { report: counting });
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    counting(error.fault);
  }
  if (faults === 0 && known && inode.nlink !== 0 && inode.nlink !== subdirectories + 2)
    bad('nlinkv2', inode.nlink, `${subdirectories + 2}, two more than its subdirectories`);
}

function emitCore(volume: Volume, inode: Inode, rows: FieldRows): void {
  const { view, base } = inode;
  const layout = dinodeLayout(view, base);
  const get = (name: string): Value => {
    const f = layout.fields.find((field) => field.name === name)!;
    return f.type.get(view, base + f.offset, false);
  };
  const put = (prefix: string, name: string, note: string | null = null): void =>
    rows.put(prefix + name, get(name) as number | bigint | string, note);
  const time = (prefix: string, name: string, t: Timespec): void => {
    rows.put(`${prefix}${name}.sec`, t.sec, isoTime(t));
    rows.put(`${prefix}${name}.nsec`, t.nsec);
  };
  const formatName = (value: Value): string | null => FORK_FORMAT_NAME[Number(value)] ?? null;
  const notes: Record<string, (value: Value) => string | null> = {
    magic: noteMagic,
    mode: (v) => `0${Number(v).toString(8)}: ${modeString(Number(v))} ${fileType(Number(v))}`,
    format: formatName,
    aformat: formatName,
  };
  for (const name of CORE) put('core.', name, notes[name]?.(get(name)));
  time('core.', 'atime', inode.atime);
  time('core.', 'mtime', inode.mtime);
  time('core.', 'ctime', inode.ctime);
  for (const name of CORE2) put('core.', name, notes[name]?.(get(name)));
  put('core.', 'dmstate');
  rows.put('core.flags', inode.flags, flagNames(inode.flags, 0).join(',') || null);
  for (const [name, bit] of FLAGS) rows.put(`core.${name}`, inode.flags & bit ? 1 : 0);
  put('core.', 'gen');
  rows.put('next_unlinked', inode.nextUnlinked === 0xffff_ffff ? null : inode.nextUnlinked);
  rows.put(
    'v3.crc',
    view.getUint32(base + DINODE.at.crc),
    noteCrc(view, base, volume.g.inodesize, DINODE.at.crc),
  );
  put('v3.', 'change_count');
  put('v3.', 'lsn', noteLsn(view, base + DINODE.at.lsn));
  put('v3.', 'flags2', `${noteHex(get('flags2'))} ${flagNames(0, inode.flags2).join(',')}`.trim());
  put('v3.', 'cowextsize');
  time('v3.', 'crtime', inode.crtime);
  put('v3.', 'inumber');
  put('v3.', 'uuid');
  for (const [name, bit] of FLAGS2) rows.put(`v3.${name}`, inode.flags2 & bit ? 1 : 0);
  if (volume.g.features.metadir) rows.put('v3.metadata', inode.flags2 & DIFLAG2.METADATA ? 1 : 0);
}

function emitFork(volume: Volume, inode: Inode, fork: ForkName, rows: FieldRows): void {
  if (fork === 'attr' && !inode.hasAttrFork) return;
  const prefix = fork === 'data' ? 'u3.' : 'a.';
  switch (forkFormat(inode, fork)) {
    case FORK_FORMAT.EXTENTS:
      emitExtents(inode, fork, prefix, rows);
      break;
    case FORK_FORMAT.BTREE:
      emitRoot(inode, fork, prefix, rows);
      break;
    case FORK_FORMAT.LOCAL:
      if (fork === 'attr') emitShortAttrs(inode, rows);
      else if (inode.isDir) emitShortDir(volume, inode, rows);
      else if (inode.type === S_IF.LNK)
        rows.put('u3.symlink', bytesToText(forkBytes(inode, fork, Math.min(inode.size, inode.dataSize))));
      break;
    case FORK_FORMAT.DEV:
      if (fork === 'data')
        rows.put('u3.dev', inode.view.getUint32(inode.dataAt), `${inode.rdev.major}:${inode.rdev.minor}`);
      break;
  }
}

function forkBytes(inode: Inode, fork: ForkName, length: number): Uint8Array {
  const { view } = inode;
  // A fork offset that cannot be true puts the fork outside the inode, or the block.
  const from = Math.min(forkAt(inode, fork), view.byteLength);
  const bytes = Math.min(length, view.byteLength - from);
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset + from, bytes);
}

function emitExtents(inode: Inode, fork: ForkName, prefix: string, rows: FieldRows): void {
  const n = Math.min(forkExtents(inode, fork), Math.floor(forkSize(inode, fork) / EXTENT_SIZE));
  for (let i = 0; i < n; i++) {
    const at = forkAt(inode, fork) + i * EXTENT_SIZE;
    const record = `${prefix}bmx[${i}].`;
    rows.put(`${record}startoff`, extentOffset(inode.view, at));
    rows.put(`${record}startblock`, extentFsblock(inode.view, at));
    rows.put(`${record}blockcount`, extentBlocks(inode.view, at));
    rows.put(`${record}extentflag`, extentUnwritten(inode.view, at) ? 1 : 0);
  }
}

function emitRoot(inode: Inode, fork: ForkName, prefix: string, rows: FieldRows): void {
  const { view } = inode;
  const at = forkAt(inode, fork);
  const max = maxRootRecords(forkSize(inode, fork));
  if (max < 1) return;
  const numrecs = view.getUint16(at + BMDR_BLOCK.at.numrecs);
  rows.put(`${prefix}bmbt.level`, view.getUint16(at + BMDR_BLOCK.at.level));
  rows.put(`${prefix}bmbt.numrecs`, numrecs);
  const keys = at + BMDR_BLOCK.size;
  const shown = Math.min(numrecs, Math.max(0, max));
  for (let i = 0; i < shown; i++)
    rows.put(`${prefix}bmbt.keys[${i + 1}].startoff`, getU64(view, keys + i * 8));
  for (let i = 0; i < shown; i++)
    rows.put(`${prefix}bmbt.ptrs[${i + 1}]`, getU64(view, keys + (max + i) * 8));
}

function emitShortDir(volume: Volume, inode: Inode, rows: FieldRows): void {
  const length = Math.min(inode.size, inode.dataSize);
  const b = forkBytes(inode, 'data', length);
  const v = new DataView(b.buffer, b.byteOffset, b.length);
  if (length < sfHdrSize(false)) return;
  const count = v.getUint8(0);
  const i8 = v.getUint8(1) !== 0;
  const number = i8 ? 'i8' : 'i4';
  rows.put('u3.sfdir3.hdr.count', count);
  rows.put('u3.sfdir3.hdr.i8count', v.getUint8(1));
  if (length < sfHdrSize(i8)) return;
  rows.put(`u3.sfdir3.hdr.parent.${number}`, sfIno(v, 2, i8));
  const ftype = volume.g.features.ftype;
  let at = sfHdrSize(i8);
  for (let i = 0; i < count && at + SF_ENTRY.size <= length; i++) {
    const namelen = v.getUint8(at);
    const next = at + sfEntrySize(namelen, i8, ftype);
    if (next > length) return;
    const entry = `u3.sfdir3.list[${i}].`;
    const name = at + SF_ENTRY.size;
    const offset = v.getUint16(at + SF_ENTRY.at.offset);
    rows.put(`${entry}namelen`, namelen);
    rows.put(`${entry}offset`, offset, noteHex(offset));
    rows.put(`${entry}name`, bytesToText(b.subarray(name, name + namelen)));
    rows.put(`${entry}inumber.${number}`, sfIno(v, next - (i8 ? 8 : 4), i8));
    if (ftype) {
      const type = v.getUint8(name + namelen);
      rows.put(`${entry}filetype`, type, fileTypeOfFtype(type));
    }
    at = next;
  }
}

function emitShortAttrs(inode: Inode, rows: FieldRows): void {
  const b = forkBytes(inode, 'attr', inode.attrSize);
  const v = new DataView(b.buffer, b.byteOffset, b.length);
  if (b.length < ATTR_SF_HDR.size) return;
  const totsize = v.getUint16(0);
  const count = v.getUint8(ATTR_SF_HDR.at.count);
  rows.put('a.sfattr.hdr.totsize', totsize);
  rows.put('a.sfattr.hdr.count', count);
  const end = Math.min(totsize, b.length);
  let at: number = ATTR_SF_HDR.size;
  for (let i = 0; i < count && at + ATTR_SF_ENTRY.size <= end; i++) {
    const namelen = v.getUint8(at);
    const valuelen = v.getUint8(at + 1);
    const flags = v.getUint8(at + 2);
    const next = at + attrSfEntrySize(namelen, valuelen);
    if (next > end) return;
    const entry = `a.sfattr.list[${i}].`;
    const name = at + ATTR_SF_ENTRY.size;
    rows.put(`${entry}namelen`, namelen);
    rows.put(`${entry}valuelen`, valuelen);
    rows.put(`${entry}root`, flags & ATTR_FLAG.ROOT ? 1 : 0);
    rows.put(`${entry}secure`, flags & ATTR_FLAG.SECURE ? 1 : 0);
    if (flags & ATTR_FLAG.PARENT) rows.put(`${entry}parent`, 1);
    rows.put(`${entry}name`, bytesToText(b.subarray(name, name + namelen)));
    if (valuelen > 0) rows.put(`${entry}value`, bytesToText(b.subarray(name + namelen, next)));
    at = next;
  }
}
