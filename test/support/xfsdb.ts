import { run } from './oracle.js';

/** The AG btrees, under the names this module gives them, with xfs_db's own words for the way there. */
const roots = {
  bnobt: { header: 'agf', field: 'bnoroot' },
  cntbt: { header: 'agf', field: 'cntroot' },
  rmapbt: { header: 'agf', field: 'rmaproot' },
  refcntbt: { header: 'agf', field: 'refcntroot' },
  inobt: { header: 'agi', field: 'root' },
  finobt: { header: 'agi', field: 'free_root' },
} as const;

export type BtreeKind = keyof typeof roots;

/**
 * One record, key or pointer row: the numbers between the brackets, in the order of the block's columns.
 * `free` of the inode btrees is a 64-bit mask and always a bigint; everything else is a number, with rmap's
 * special owners negative (-3 is the filesystem itself) as xfs_db prints them.
 */
export type Row = (number | bigint)[];

export interface BtreeBlock {
  level: number;
  /** Address in 512-byte units. */
  daddr: number;
  columns: string[];
  rows: Row[];
  /** Block pointers of an internal node, else empty. */
  ptrs: number[];
}

export interface BtreeDump {
  /** Columns of the leaf records, e.g. startblock, blockcount, refcount, cowflag. Empty tree: []. */
  columns: string[];
  /** All leaf records, left to right. */
  rows: Row[];
  /** The blocks printed: leaves, and with `internal` the nodes above them, root first. */
  blocks: BtreeBlock[];
}

/** Run xfs_db read-only over a list of commands (one process, so any number of them). Returns its stdout. */
export function xfsdb(image: string, commands: readonly string[]): string {
  return run('xfs_db', ['-r', image], { input: `${commands.join('\n')}\n`, encoding: 'latin1' }).stdout;
}

/** All records of one AG's btree, as xfs_db's btdump prints them. The filesystem must have that btree. */
export function btdump(image: string, kind: BtreeKind, agno: number, { internal = false } = {}): BtreeDump {
  return parseBtdump(xfsdb(image, btdumpCommands(kind, agno, internal)));
}

/** The same for every AG, in one process; index is agno. Empty where the filesystem has no such btree. */
export function btdumpAll(image: string, kind: BtreeKind, { internal = false } = {}): BtreeDump[] {
  const { agcount, features } = geometry(image);
  if (!features.has(kind)) return Array.from({ length: agcount }, () => parseBtdump(''));
  const commands: string[] = [];
  for (let agno = 0; agno < agcount; agno++) commands.push(mark, ...btdumpCommands(kind, agno, internal));
  return splitAtMarks(xfsdb(image, commands)).map(parseBtdump);
}

/** The block-map btree of an inode's fork; its root's keys and pointers are no block and are left out. */
export function bmbtDump(image: string, ino: number, fork: 'data' | 'attr' = 'data'): BtreeDump {
  return parseBtdump(xfsdb(image, [`inode ${ino}`, fork === 'attr' ? 'btdump -a' : 'btdump']));
}

function btdumpCommands(kind: BtreeKind, agno: number, internal: boolean): string[] {
  const { header, field } = roots[kind];
  return [`${header} ${agno}`, `addr ${field}`, internal ? 'btdump -i' : 'btdump'];
}

function parseBtdump(text: string): BtreeDump {
  const dump: BtreeDump = { columns: [], rows: [], blocks: [] };
  let block: BtreeBlock | undefined;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':[');
    if (colon > 0 && block) {
      const row = parseRow(line, colon + 2, block.columns);
      block.rows.push(row);
      if (block.level === 0) dump.rows.push(row);
      continue;
    }
    const head = /^\w+ level (\d+) block \d+ daddr (\d+)/.exec(line);
    if (head) {
      block = { level: Number(head[1]), daddr: Number(head[2]), columns: [], rows: [], ptrs: [] };
      dump.blocks.push(block);
      continue;
    }
    const columns = /^(?:recs|keys)\[[^\]]*\] = \[([^\]]*)\]/.exec(line);
    if (columns && block) {
      block.columns = columns[1].split(',');
      if (block.level === 0) dump.columns = block.columns;
      continue;
    }
    const ptrs = /^ptrs\[[^\]]*\] = (.*)/.exec(line);
    if (ptrs && block) for (const [, value] of ptrs[1].matchAll(/:(\d+)/g)) block.ptrs.push(Number(value));
  }
  return dump;
}

function parseRow(line: string, start: number, columns: string[]): Row {
  const end = line.indexOf(']', start);
  return line
    .slice(start, end)
    .split(',')
    .map((text, index) => (columns[index] === 'free' ? BigInt(text) : Number(text)));
}

/**
 * Every `field = value` line the commands print, in print order. A value that runs over several lines
 * (arrays of records) is joined with single spaces; of a field printed twice the last value stands.
 * `print(image, ['agf 0', 'p'])`.
 */
export function print(image: string, commands: readonly string[]): Map<string, string> {
  return parseFields(xfsdb(image, commands));
}

/** `print` of many inodes in one process; `fields` narrows what is printed (fast over whole images). */
export function printInodes(
  image: string,
  inos: readonly number[],
  fields: readonly string[] = [],
): Map<number, Map<string, string>> {
  const show = ['p', ...fields].join(' ');
  const parts = splitAtMarks(
    xfsdb(
      image,
      inos.flatMap((ino) => [mark, `inode ${ino}`, show]),
    ),
  );
  return new Map(inos.map((ino, index) => [ino, parseFields(parts[index])]));
}

function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = '';
  for (const line of text.split('\n')) {
    if (last && /^\d+:/.test(line)) {
      fields.set(last, `${fields.get(last)} ${line.trim()}`);
      continue;
    }
    const match = /^([^\s=]+) = (.*)$/.exec(line);
    if (!match) continue;
    last = match[1];
    fields.set(last, match[2].trim());
  }
  return fields;
}

export interface Extent {
  /** File offset, start and length in filesystem blocks; `startblock` is the packed fsblock number. */
  startoff: number;
  startblock: number;
  agno: number;
  agbno: number;
  blockcount: number;
  unwritten: boolean;
}

/** The extents of an inode's fork; [] where the fork is local, a device or empty. */
export function bmap(image: string, ino: number, fork: 'data' | 'attr' = 'data'): Extent[] {
  return bmapAll(image, [ino], fork).get(ino)!;
}

/** `bmap` of many inodes in one process. */
export function bmapAll(
  image: string,
  inos: readonly number[],
  fork: 'data' | 'attr' = 'data',
): Map<number, Extent[]> {
  const show = fork === 'attr' ? 'bmap -a' : 'bmap -d';
  const parts = splitAtMarks(
    xfsdb(
      image,
      inos.flatMap((ino) => [mark, `inode ${ino}`, show]),
    ),
  );
  const extent = /^(?:data|attr) offset (\d+) startblock (\d+) \((\d+)\/(\d+)\) count (\d+) flag (\d)/gm;
  return new Map(
    inos.map((ino, index) => [
      ino,
      [...parts[index].matchAll(extent)].map(([, startoff, startblock, agno, agbno, count, flag]) => ({
        startoff: Number(startoff),
        startblock: Number(startblock),
        agno: Number(agno),
        agbno: Number(agbno),
        blockcount: Number(count),
        unwritten: flag !== '0',
      })),
    ]),
  );
}

export interface Geometry {
  blocksize: number;
  sectsize: number;
  inodesize: number;
  agblocks: number;
  agcount: number;
  dblocks: number;
  /** Inode numbers are agno * inodesPerAgSlot + agino. */
  inodesPerAgSlot: number;
  rootino: number;
  /** The AG btrees this filesystem has. */
  features: Set<BtreeKind>;
}

export function geometry(image: string): Geometry {
  const fields = print(image, ['sb 0', 'p']);
  const number = (name: string) => Number(fields.get(name));
  const features = new Set<BtreeKind>(['bnobt', 'cntbt', 'inobt']);
  (['finobt', 'rmapbt', 'refcntbt'] as const).forEach((kind, bit) => {
    if (number('features_ro_compat') & (1 << bit)) features.add(kind);
  });
  return {
    blocksize: number('blocksize'),
    sectsize: number('sectsize'),
    inodesize: number('inodesize'),
    agblocks: number('agblocks'),
    agcount: number('agcount'),
    dblocks: number('dblocks'),
    inodesPerAgSlot: 2 ** (number('agblklog') + number('inopblog')),
    rootino: number('rootino'),
    features,
  };
}

export interface InodeLists {
  /** Inode numbers in use, ascending. */
  used: number[];
  /** Inode numbers that exist on disk but are free. */
  free: number[];
  /** Chunk records that are sparse (their hole mask is not zero). */
  sparseChunks: number;
}

/** Every inode the inode btrees know of. */
export function inodes(image: string): InodeLists {
  const { inodesPerAgSlot } = geometry(image);
  const lists: InodeLists = { used: [], free: [], sparseChunks: 0 };
  btdumpAll(image, 'inobt').forEach(({ columns, rows }, agno) => {
    const at = (name: string) => columns.indexOf(name);
    const [startino, holemask, free] = [at('startino'), at('holemask'), at('free')];
    for (const row of rows) {
      // Without sparse inodes the record has no hole mask; each of its bits stands for four inodes.
      const holes = holemask < 0 ? 0 : Number(row[holemask]);
      const mask = row[free] as bigint;
      if (holes) lists.sparseChunks++;
      for (let i = 0; i < 64; i++) {
        if (holes & (1 << (i >> 2))) continue;
        const ino = agno * inodesPerAgSlot + Number(row[startino]) + i;
        ((mask >> BigInt(i)) & 1n ? lists.free : lists.used).push(ino);
      }
    }
  });
  return lists;
}

const mark = 'echo @@';

function splitAtMarks(text: string): string[] {
  return text.split(/^@@ *\n/m).slice(1);
}
