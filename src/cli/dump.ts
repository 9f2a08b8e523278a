/** `xfsimg dump`: the structures of an image as tables. */
import { Argument, type Command, Option } from 'commander';
import type { Table } from '../dump/table.js';
import { BTREES, type BtreeName } from '../format/btree.js';
import type { Report } from '../format/fault.js';
import type { ForkName } from '../volume/fork.js';
import type { Volume } from '../volume/volume.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, numberArgument } from './image.js';
import { meant } from './nearest.js';
import { addTableOptions, type TableOptions } from './render/table.js';
import type { TableWriter } from './render/writer.js';

const WHAT = {
  sb: 'a superblock: the primary one, or the copy of an AG (--ag)',
  agf: 'AGFs: the free space of each AG',
  agi: 'AGIs: the inodes of each AG',
  agfl: 'AGFLs: the free list of each AG',
  btree: 'blocks and records of a btree, every level: dump IMAGE btree NAME; of a bmbt: bmbt INODE...',
  inode: 'every field of inodes',
  extents: 'the blocks of files, cut where the number of owners changes',
  refcount: 'reference counts of shared blocks',
  rmap: 'who owns which blocks',
  free: 'free space',
  inodes: 'inodes, one a row',
  dir: 'entries of directories',
  attr: 'extended attributes',
  shared: 'shared runs of blocks with every owner',
} as const;
type What = keyof typeof WHAT;

interface DumpOptions extends ImageOptions, TableOptions {
  ag?: number;
  fork?: ForkName;
  blocks?: boolean;
  bySize?: boolean;
  free?: boolean;
  paths?: boolean;
  check?: boolean;
}

export function register(program: Command): void {
  const width = Math.max(...Object.keys(WHAT).map((w) => w.length));
  const list = Object.entries(WHAT).map(([what, about]) => `  ${what.padEnd(width)}  ${about}`);
  const command = program
    .command('dump')
    .description('Show structures of an image as tables.')
    .argument('<image>', 'image file or block device')
    .addArgument(new Argument('<what>', 'the table').choices(Object.keys(WHAT)))
    .argument(
      '[select...]',
      'inode, extents, dir, attr: inode numbers or paths (default: all); btree: its name',
    )
    .addOption(new Option('--ag <n>', 'one allocation group').argParser(numberArgument(0)))
    .addOption(new Option('--fork <fork>', 'extents, btree bmbt: one fork').choices(['data', 'attr']))
    .option('--blocks', 'btree: its blocks instead of its records')
    .option('--by-size', 'free: in order of length, from the cntbt')
    .option('--free', 'inodes: free ones too')
    .option('--paths', 'shared: a path of each owner')
    .option('--no-check', 'sb, agf, agi, agfl: do not hold counters against what they count');
  addTableOptions(addImageOptions(command));
  command.addHelpText(
    'after',
    `
Tables:
${list.join('\n')}

Exit status: 0; 1 where damage was found, a line each on stderr after the rows.

Examples:
  xfsimg dump disk.img refcount --format csv
  xfsimg dump disk.img extents /etc/passwd
  xfsimg dump disk.img agf --ag 0 --columns field,value
  xfsimg dump disk.img btree rmapbt --blocks`,
  );
  command.action(dump);
}

/** Options that mean something for some tables only. */
const MEANT_FOR: Record<string, readonly What[]> = {
  fork: ['extents', 'btree'],
  blocks: ['btree'],
  bySize: ['free'],
  free: ['inodes'],
  paths: ['shared'],
  ag: [
    'sb',
    'agf',
    'agi',
    'agfl',
    'btree',
    'extents',
    'refcount',
    'rmap',
    'free',
    'inodes',
    'dir',
    'attr',
    'shared',
  ],
};
const SELECTABLE: readonly What[] = ['btree', 'inode', 'extents', 'dir', 'attr'];

/** Throws CliError for a command line that asks for what there is not. */
function checkUsage(what: What, select: readonly string[], options: DumpOptions): void {
  for (const [name, tables] of Object.entries(MEANT_FOR)) {
    if (options[name as keyof DumpOptions] === undefined || tables.includes(what)) continue;
    const flag = name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
    throw new CliError(`--${flag} has no meaning for ${what}: it is for ${tables.join(', ')}`, EXIT.USAGE);
  }
  if (select.length > 0 && !SELECTABLE.includes(what))
    throw new CliError(`dump ${what} takes no selection, but got '${select[0]}'`, EXIT.USAGE);
  if (what === 'inode' && select.length === 0)
    throw new CliError('dump inode needs inode numbers or paths', EXIT.USAGE);
  if (what !== 'btree') return;
  const names = Object.keys(BTREES).join(', ');
  if (select.length === 0) throw new CliError(`dump btree needs the name of a tree: ${names}`, EXIT.USAGE);
  if (!(select[0] in BTREES)) {
    const hint = meant(select[0], Object.keys(BTREES), `there are ${names}`);
    throw new CliError(`no btree '${select[0]}': ${hint}`, EXIT.USAGE);
  }
  if (select[0] === 'bmbt' && select.length === 1)
    throw new CliError('dump btree bmbt needs inode numbers or paths', EXIT.USAGE);
  if (select[0] !== 'bmbt' && select.length > 1)
    throw new CliError(`dump btree ${select[0]} takes no selection, but got '${select[1]}'`, EXIT.USAGE);
}

async function dump(path: string, what: What, select: string[], options: DumpOptions): Promise<void> {
  checkUsage(what, select, options);
  const [{ openImage }, { openTable }, { Damage }] = await Promise.all([
    import('./image.js'),
    import('./render/table.js'),
    import('./damage.js'),
  ]);
  const volume = openImage(path, options);
  try {
    if (options.ag !== undefined && options.ag >= volume.g.agcount)
      throw new CliError(`--ag ${options.ag}: ${path} has AGs 0 to ${volume.g.agcount - 1}`, EXIT.USAGE);
    const faults: Parameters<Report>[0][] = [];
    const report: Report = (fault) => {
      if (faults.length < 10_000) faults.push(fault);
    };
    volume.report = report;
    const { table, run } = await producer(volume, what, select, options);
    const rows = await openTable(table, options, { image: path, volume });
    try {
      run(rows);
    } finally {
      rows.finish();
    }
    const damage = new Damage(volume, path);
    for (const fault of faults) damage.fault(fault);
    damage.finish();
    if (faults.length > 0) await tellDirtyLog(volume, path);
  } finally {
    volume.close();
  }
}

interface Producer {
  readonly table: Table;
  readonly run: (rows: TableWriter) => void;
}

async function producer(
  volume: Volume,
  what: What,
  select: readonly string[],
  options: DumpOptions,
): Promise<Producer> {
  const agno = options.ag;
  switch (what) {
    case 'sb':
    case 'agf':
    case 'agi':
    case 'agfl': {
      const of = await import('../dump/headers.js');
      const { head, clean } = await logState(volume);
      const how = { agno, check: options.check !== false, head, clean };
      const [table, fn] = {
        sb: [of.SB, of.dumpSb] as const,
        agf: [of.AGF_FIELDS, of.dumpAgf] as const,
        agi: [of.AGI_FIELDS, of.dumpAgi] as const,
        agfl: [of.AGFL_FIELDS, of.dumpAgfl] as const,
      }[what];
      return { table, run: (rows) => fn(volume, rows, how) };
    }
    case 'btree':
      return btreeProducer(volume, select, options);
    case 'inode': {
      const { dumpInode, INODE } = await import('../dump/inode.js');
      const inos = await inodeNumbers(volume, select);
      const { head } = await logState(volume);
      return { table: INODE, run: (rows) => dumpInode(volume, rows, inos ?? [], { head }) };
    }
    case 'extents': {
      const { dumpExtents, EXTENTS } = await import('../dump/extents.js');
      const inos = await inodeNumbers(volume, select);
      return { table: EXTENTS, run: (rows) => dumpExtents(volume, rows, { agno, inos, fork: options.fork }) };
    }
    case 'shared': {
      const { dumpShared, SHARED, SHARED_PATHS } = await import('../dump/extents.js');
      if (options.paths !== true) return { table: SHARED, run: (rows) => dumpShared(volume, rows, { agno }) };
      const [{ PathMap }, { bytesToText }] = await Promise.all([
        import('../volume/path.js'),
        import('../format/text.js'),
      ]);
      const paths = new PathMap(volume);
      const pathOf = (ino: number): string | null => {
        const found = paths.get(ino);
        return found === undefined ? null : bytesToText(found);
      };
      return { table: SHARED_PATHS, run: (rows) => dumpShared(volume, rows, { agno, pathOf }) };
    }
    case 'refcount':
    case 'rmap':
    case 'free': {
      const of = await import('../dump/trees.js');
      const tree = ({ refcount: 'refcountbt', rmap: 'rmapbt', free: 'bnobt' } as const)[what];
      await needBtree(volume, tree);
      if (what === 'refcount')
        return { table: of.REFCOUNT, run: (rows) => of.dumpRefcount(volume, rows, { agno }) };
      if (what === 'rmap') return { table: of.RMAP, run: (rows) => of.dumpRmap(volume, rows, { agno }) };
      const { bySize } = options;
      return { table: of.FREE, run: (rows) => of.dumpFree(volume, rows, { agno, bySize }) };
    }
    case 'inodes': {
      const { dumpInodes, INODES } = await import('../dump/inodes.js');
      return { table: INODES, run: (rows) => dumpInodes(volume, rows, { agno, free: options.free }) };
    }
    case 'dir':
    case 'attr': {
      const of = await import('../dump/names.js');
      const inos = await inodeNumbers(volume, select);
      if (what === 'dir') return { table: of.DIR, run: (rows) => of.dumpDir(volume, rows, { agno, inos }) };
      return { table: of.ATTR, run: (rows) => of.dumpAttr(volume, rows, { agno, inos }) };
    }
  }
}

async function btreeProducer(
  volume: Volume,
  select: readonly string[],
  options: DumpOptions,
): Promise<Producer> {
  const of = await import('../dump/btree.js');
  const name = select[0] as BtreeName;
  const table = options.blocks ? of.BTREE_BLOCKS : of.BTREE_TABLES[name];
  const { blocks } = options;
  const { head } = await logState(volume);
  if (name !== 'bmbt') {
    await needBtree(volume, name);
    return { table, run: (rows) => of.dumpAgBtree(volume, rows, name, { agno: options.ag, blocks, head }) };
  }
  const { readInode } = await import('../volume/inode.js');
  const inodes = ((await inodeNumbers(volume, select.slice(1))) ?? []).map((ino) => readInode(volume, ino));
  const fork = options.fork ?? 'data';
  return {
    table,
    run: (rows) => {
      for (const inode of inodes) of.dumpBmbt(volume, rows, inode, fork, { blocks, head });
    },
  };
}

async function needBtree(volume: Volume, name: Exclude<BtreeName, 'bmbt'>): Promise<void> {
  const { hasBtree } = await import('../volume/btree.js');
  if (!hasBtree(volume.g, name))
    throw new CliError(`this filesystem has no ${name}: made without that feature`, EXIT.UNUSABLE);
}

/** Inode numbers of a selection: plain digits are a number, all else a path. Undefined for none. */
async function inodeNumbers(volume: Volume, select: readonly string[]): Promise<number[] | undefined> {
  if (select.length === 0) return undefined;
  const [{ PathError, resolvePath }, { textToBytes }] = await Promise.all([
    import('../volume/path.js'),
    import('../format/text.js'),
  ]);
  return select.map((word) => {
    if (/^\d+$/.test(word)) return Number(word);
    try {
      return resolvePath(volume, textToBytes(word), { follow: false }).ino;
    } catch (error) {
      if (error instanceof PathError) throw new CliError(error.message, EXIT.FAILED);
      throw error;
    }
  });
}

/** The log's head, past which no metadata can have been logged, and whether there is nothing to replay. */
async function logState(
  volume: Volume,
): Promise<{ head?: { cycle: number; block: number }; clean: boolean }> {
  const [{ scanLog }, { LogError }] = await Promise.all([
    import('../journal/scan.js'),
    import('../journal/error.js'),
  ]);
  try {
    const { head, clean, zeroed } = scanLog(volume.source, volume.g);
    return { head: zeroed ? undefined : head, clean };
  } catch (error) {
    if (error instanceof LogError) return { clean: false };
    throw error;
  }
}

/** Metadata whose last changes are still in the log can contradict itself without being damaged. */
async function tellDirtyLog(volume: Volume, path: string): Promise<void> {
  const { clean } = await logState(volume);
  if (!clean)
    process.stderr.write(
      `xfsimg: ${path}: the log is not clean: replay it first (xfsimg repair ${path}), then look again\n`,
    );
}
