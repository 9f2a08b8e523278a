/** Directory entries and attributes as rows. */
import { ATTR_FLAG } from '../format/attr.js';
import { FTYPE } from '../format/dir.js';
import { CorruptionError, type Report } from '../format/fault.js';
import { FILE_TYPES, fileTypeOfFtype } from '../format/mode.js';
import { bytesToText } from '../format/text.js';
import { attrValue, walkAttrs } from '../volume/attr.js';
import { walkDir } from '../volume/dir.js';
import { checkDirIndex } from '../volume/dirindex.js';
import { type Inode, readInode, verifyInode, walkInodes } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import { bool, oneOf, optional, type RowSink, table, text, uint } from './table.js';

export const DIR = table('dir', 'an entry of a directory', {
  ino: uint('inode number of the directory'),
  offset: uint('byte offset of the entry in the data of the directory'),
  name: text('name'),
  inumber: uint('inode number the name stands for'),
  ftype: oneOf(FILE_TYPES, 'type of file, as the entry says'),
});

export interface NamesOptions {
  /** These inodes instead of all in use. */
  readonly inos?: readonly number[];
  readonly agno?: number;
  readonly report?: Report;
}

/** Calls `fn` for each inode chosen that verifies; damage `fn` cannot go on from is reported. */
function eachInode(volume: Volume, options: NamesOptions, fn: (inode: Inode, report: Report) => void): void {
  const report = options.report ?? volume.report;
  const guarded = (inode: Inode): void => {
    try {
      fn(inode, report);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      report(error.fault);
    }
  };
  if (options.inos === undefined) {
    walkInodes(
      volume,
      (inode) => {
        if (verifyInode(volume.g, inode, true, report)) guarded(inode);
      },
      { agno: options.agno, report },
    );
    return;
  }
  for (const ino of options.inos) {
    let inode: Inode;
    try {
      inode = readInode(volume, ino);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      report(error.fault);
      continue;
    }
    guarded(inode);
  }
}

/** Emits the entries of directories, '.' and '..' too, in the order they are stored. */
export function dumpDir(volume: Volume, sink: RowSink, options: NamesOptions = {}): void {
  const { num, text: cells } = sink;
  const { at } = DIR;
  eachInode(volume, options, (dir, report) => {
    // A directory that was asked for by number and is none is reported by the walk itself.
    if (!dir.isDir && options.inos === undefined) return;
    num[at.ino] = dir.ino;
    walkDir(
      volume,
      dir,
      (block, from, to, ino, ftype, address) => {
        num[at.offset] = address * 8;
        cells[at.name] = bytesToText(block.subarray(from, to));
        num[at.inumber] = ino;
        cells[at.ftype] = ftype === FTYPE.UNKNOWN ? 'unknown' : fileTypeOfFtype(ftype);
        sink.emit();
      },
      { dots: true, report },
    );
    // What was asked for by name is looked at whole: its index of hashes too, which listing does not need.
    if (options.inos !== undefined) checkDirIndex(volume, dir, report, () => {});
  });
}

export const ATTR = table('attr', 'an extended attribute', {
  ino: uint('inode number of the file'),
  namespace: optional(
    oneOf(['user', 'trusted', 'security', 'parent'], 'namespace; null where the flags name two'),
  ),
  name: text('name without its namespace'),
  valuelen: uint('length of the value in bytes'),
  remote: bool('the value stands in blocks of its own'),
  incomplete: bool('being made or removed when the filesystem stopped: not shown to users'),
  encoding: oneOf(
    ['text', 'base64'],
    'how the value is written: text where it is UTF-8 without control characters',
  ),
  value: optional(text('the value; null where its blocks cannot be read')),
});

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A value as text where that is what it is. */
function asText(value: Uint8Array): string | undefined {
  for (const b of value) if (b < 0x20 || b === 0x7f) return undefined;
  try {
    return UTF8.decode(value);
  } catch {
    return undefined;
  }
}

/** Emits the attributes of files in the order they are stored. */
export function dumpAttr(volume: Volume, sink: RowSink, options: NamesOptions = {}): void {
  const { num, text: cells } = sink;
  const { at } = ATTR;
  eachInode(volume, options, (inode, report) => {
    if (!inode.hasAttrFork) return;
    num[at.ino] = inode.ino;
    walkAttrs(
      volume,
      inode,
      (attribute) => {
        let value: Uint8Array | undefined;
        try {
          value = attrValue(volume, inode, attribute);
        } catch (error) {
          if (!(error instanceof CorruptionError)) throw error;
          report(error.fault);
        }
        const plain = value === undefined ? undefined : asText(value);
        cells[at.namespace] = attribute.namespace ?? null;
        cells[at.name] = bytesToText(attribute.name);
        num[at.valuelen] = attribute.valuelen;
        num[at.remote] = attribute.valueblk === undefined ? 0 : 1;
        num[at.incomplete] = (attribute.flags & ATTR_FLAG.INCOMPLETE) === 0 ? 0 : 1;
        cells[at.encoding] = value === undefined || plain !== undefined ? 'text' : 'base64';
        cells[at.value] = plain ?? (value === undefined ? null : Buffer.from(value).toString('base64'));
        sink.emit();
      },
      { report, incomplete: true },
    );
  });
}
