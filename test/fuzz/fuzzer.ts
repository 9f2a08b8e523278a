/** One field damaged, the checksum made right, the image read again: what was noticed? */
import { BTREE_TABLES, dumpAgBtree, dumpBmbt } from '../../src/dump/btree.js';
import { dumpExtents, dumpShared, EXTENTS, SHARED } from '../../src/dump/extents.js';
import {
  AGF_FIELDS,
  AGFL_FIELDS,
  AGI_FIELDS,
  dumpAgf,
  dumpAgfl,
  dumpAgi,
  dumpSb,
  SB,
} from '../../src/dump/headers.js';
import { dumpInode, INODE } from '../../src/dump/inode.js';
import { dumpInodes, INODES } from '../../src/dump/inodes.js';
import { ATTR, DIR, dumpAttr, dumpDir } from '../../src/dump/names.js';
import type { Cell, RowSink, Table } from '../../src/dump/table.js';
import type { AgBtreeName } from '../../src/format/btree.js';
import { CorruptionError, describeFault, type Fault } from '../../src/format/fault.js';
import type { Lsn } from '../../src/format/log.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { ImageError, type Source } from '../../src/image/source.js';
import { LogError } from '../../src/journal/error.js';
import { scanLog } from '../../src/journal/scan.js';
import { attrValue, walkAttrs } from '../../src/volume/attr.js';
import { hasBtree } from '../../src/volume/btree.js';
import { readInode } from '../../src/volume/inode.js';
import { readSymlink } from '../../src/volume/symlink.js';
import { openVolume, UnsupportedError, type Volume } from '../../src/volume/volume.js';
import type { Target } from './targets.js';
import { changed, type Verb } from './verbs.js';

/** What each field is changed to here: of more than one verb's kind, the one that gives away most. */
export const CHANGES = ['zeroes', 'ones', 'random', 'add', 'sub'] as const satisfies readonly Verb[];

/** Discards rows, but makes their text: producers must survive what they show. */
class Null implements RowSink {
  readonly num: Float64Array;
  readonly text: (string | null)[];
  readonly any: Cell[];
  rows = 0;
  constructor(table: Table) {
    this.num = new Float64Array(table.columns.length);
    this.text = table.columns.map(() => null);
    this.any = table.columns.map(() => null);
  }
  emit(): void {
    this.rows++;
  }
}

/** The damaged image, or undefined where the change leaves the field as it was. */
export function damage(image: Source, target: Target, verb: Verb, next: () => number): Source | undefined {
  const bytes = changed(image, target, verb, next);
  if (bytes === undefined) return undefined;
  const overlay = new OverlaySource(image);
  overlay.write(target.seal.offset, bytes);
  return overlay;
}

const TREES: readonly AgBtreeName[] = ['bnobt', 'cntbt', 'inobt', 'finobt', 'rmapbt', 'refcountbt'];

/** Reads what the target says is to be read; faults go to `report`. */
function look(volume: Volume, target: Target, report: (fault: Fault) => void): void {
  let head: Lsn | undefined;
  try {
    head = scanLog(volume.source, volume.g).head;
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
  }
  volume.report = report;
  const guard = (fn: () => void): void => {
    try {
      fn();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      report(error.fault);
    }
  };
  const of = target.look;
  if (of.kind === 'sb') {
    guard(() => dumpSb(volume, new Null(SB), { agno: of.agno, head }));
    guard(() => dumpAgf(volume, new Null(AGF_FIELDS), { agno: of.agno }));
  } else if (of.kind === 'ag') {
    const options = { agno: of.agno, head };
    guard(() => dumpAgf(volume, new Null(AGF_FIELDS), options));
    guard(() => dumpAgi(volume, new Null(AGI_FIELDS), options));
    guard(() => dumpAgfl(volume, new Null(AGFL_FIELDS), options));
    for (const tree of TREES)
      if (hasBtree(volume.g, tree) && target.structure.startsWith(tree))
        guard(() => dumpAgBtree(volume, new Null(BTREE_TABLES[tree]), tree, options));
    if (target.structure.startsWith('refcountbt'))
      guard(() => dumpShared(volume, new Null(SHARED), { agno: of.agno }));
    if (/^(agi|inobt|finobt)/.test(target.structure))
      guard(() => dumpInodes(volume, new Null(INODES), { ...options, free: true }));
  } else {
    const { ino } = of;
    const inos = [ino];
    guard(() => dumpInode(volume, new Null(INODE), inos, { head }));
    guard(() => dumpExtents(volume, new Null(EXTENTS), { inos }));
    guard(() => dumpAttr(volume, new Null(ATTR), { inos }));
    guard(() => {
      const inode = readInode(volume, ino);
      for (const fork of ['data', 'attr'] as const)
        dumpBmbt(volume, new Null(BTREE_TABLES.bmbt), inode, fork, { head });
      if (inode.isDir) dumpDir(volume, new Null(DIR), { inos });
      if (inode.type === 0o120000) readSymlink(volume, inode);
      walkAttrs(volume, inode, (attribute) => {
        attrValue(volume, inode, attribute);
      });
    });
  }
}

/** What reading the damaged image says: a line for every fault, or why it cannot be opened. */
export function observe(source: Source, target: Target): string[] {
  const lines: string[] = [];
  try {
    const volume = openVolume(source);
    look(volume, target, (fault) => {
      if (lines.length < 200) lines.push(describeFault(fault));
    });
  } catch (error) {
    if (error instanceof CorruptionError || error instanceof UnsupportedError || error instanceof ImageError)
      lines.push(error.message);
    else throw error;
  }
  return lines;
}

/**
 * Fields that any value may be true of, as far as their own structure and its neighbours tell, and why. What
 * only the whole filesystem can tell (who owns a block, how many names a file has) is for repair to say.
 */
const FREE: readonly (readonly [structure: RegExp, field: RegExp, why: string])[] = [
  [/./, /^(lsn|pad|pad2|pad32|spare2|spare64.*|v3_pad|nrext64_pad)$/, 'padding, or an LSN behind the head'],
  [/^sb/, /^(fname|imax_pct|inprogress)$/, 'the label, a limit, a flag mkfs leaves in copies'],
  [/^sb/, /^(qflags|flags|features_.*|logsunit|rextsize)$/, 'another choice of mkfs or mount, when in range'],
  [/^sb/, /^(logsectlog|logsectsize)$/, 'unused while the log has sectors of 512 bytes'],
  [/^sb/, /^(metadirino|rgcount|rgextents|rgblklog|rtstart|rtreserved)$/, 'unused without metadir'],
  [/^sb$/, /^dirblklog$/, 'another size of directory blocks: directories themselves tell'],
  [/^sb copy/, /^(.*ino|icount|ifree|fdblocks|unit|width)$/, 'only kept up to date in the primary'],
  [/^sb/, /^(rbmino|rsumino|[ugp]quotino)$/, 'none, or another file'],
  [/^agi/, /^(newino|dirino)$/, 'hints'],
  [/^bnobt node/, /^keys\.blockcount$/, 'not part of the order: nothing reads it'],
  [/^bnobt|^cntbt/, /^startblock$/, 'a gap or a shift by one block where nothing else stands'],
  [/^rmapbt node/, /^keys.*extentflag$/, 'masked: kernels before 6.3 copied it into keys'],
  [
    /^rmapbt leaf/,
    /^(blockcount|owner|offset|extentflag|attrfork|bmbtblock)$/,
    'held against the owners by repair',
  ],
  [/^refcountbt leaf/, /^(blockcount|numrecs)$/, 'a record too few: held against the owners by repair'],
  [/^dinode/, /^(extsize|cowextsize)$/, 'another hint, where there is one'],
  [
    /^dinode/,
    /^(mode|onlink|uid|gid|projid_lo|projid_hi|gen|change_count)$/,
    'as the user or chance would have it',
  ],
  [/^dinode/, /^(atime|mtime|ctime|crtime|dmevmask|dmstate)$/, 'any time; nothing reads the last two'],
  [/^dinode/, /^(size|nlinkv2)$/, 'of a file that is as long, or has as many names, as it says'],
  [
    /^dinode/,
    /^(flags|flags2)$/,
    'most flags are the user’s; the reflink flag is held against others by repair',
  ],
  [/^dinode/, /^(forkoff|aformat)$/, 'the place and form of a fork that is empty'],
  [
    /^(data|attr) fork|^bmbt leaf/,
    /^(startblock|startoff|extentflag)$/,
    'another place or state: repair knows the owners',
  ],
];

/** Why a change of the target's field may go unnoticed; undefined where it may not. */
export const isFree = (target: Target): string | undefined =>
  FREE.find(([structure, field]) => structure.test(target.structure) && field.test(target.field))?.[2];

/** What a field's damage may show up as instead of the field itself. */
const ALIASES: readonly (readonly [field: RegExp, words: RegExp])[] = [
  [/^magicnum$|^versionnum$/, /not an XFS filesystem|version 4|does not support/],
  [/^features_/, /feature|realtime|external log|expected|truncated/],
  [/^rblocks$/, /realtime device/],
  [/^logstart$/, /external log/],
  [
    /^numrecs$/,
    /recs\[|keys\[|sib is|block of this tree|freeblks|count is|extents found|magic is|refcount|bno\[|ptrs\[/,
  ],
  // A record that is wrong can agree with itself and not with what stands above, beside or behind it.
  [
    /^(startblock|blockcount|owner|offset|bmbtblock|attrfork|cowflag|startoff)$/,
    /keys\[|recs\[|freeblks|bno\[|nblocks|refcount/,
  ],
  [/^(startblock|blockcount|startoff)$/, /dir|attr|symlink|bmx\[/],
  [
    /^(format|aformat|forkoff|nextents|naextents|size|mode)$/,
    /bmx\[|bmdr|short form|symlink|dir|attr|format|extents/,
  ],
  [/^(flags2|flags)$/, /extents|extsize|time/],
];

/** Whether what was noticed says which field it is about. */
export function names(target: Target, lines: readonly string[]): boolean {
  const word = target.field.replace(/[[. (].*/, '');
  if (lines.some((line) => line.includes(word))) return true;
  return ALIASES.some(([field, words]) => field.test(word) && lines.some((line) => words.test(line)));
}
