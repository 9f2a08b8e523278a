/** `xfsimg map IMAGE` */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Range } from '../report/map.js';
import type { Volume } from '../volume/volume.js';
import type { Damage } from './damage.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, numberArgument, openImage } from './image.js';
import { addTableOptions, type Subject, type TableOptions, wantsRows } from './render/table.js';

interface MapOptions extends ImageOptions, TableOptions {
  ag?: number;
  blocks?: Range;
  file?: string;
  width?: number;
}

/** Below this no cell would have room. */
const MIN_WIDTH = 20;

function blocksArgument(value: string): Range {
  const match = /^(\d+)-(\d+)$/.exec(value);
  const from = Number(match?.[1]);
  const to = Number(match?.[2]) + 1;
  if (match === null || !Number.isSafeInteger(to) || to <= from)
    throw new InvalidArgumentError('A first and a last block, such as 1024-2047, are expected.');
  return { from, to };
}

export function register(program: Command): void {
  const command = program
    .command('map')
    .description('Draw what the blocks of an image are in use for: each cell a run of them.')
    .argument('<image>', 'image file or block device')
    .addOption(new Option('--ag <n>', 'one allocation group, larger').argParser(numberArgument(0)))
    .addOption(
      new Option('--blocks <from-to>', 'these blocks of the allocation group alone').argParser(
        blocksArgument,
      ),
    )
    .option('--file <path>', 'light up where a file has its blocks')
    .addOption(
      new Option('--width <n>', 'columns of the picture (default: of the terminal, or 80)').argParser(
        numberArgument(MIN_WIDTH),
      ),
    );
  addTableOptions(addImageOptions(command));
  command.addHelpText(
    'after',
    `
Each cell is two characters: what most of it is in use for, then what else is in it, damage before all.
--format, --columns or -o gives the runs of blocks themselves as rows: xfsimg schema map.

Exit status: 0; 1 where damage was met.

Examples:
  xfsimg map disk.img
  xfsimg map disk.img --ag 0 --blocks 1024-2047
  xfsimg map disk.img --file /vm/golden.img
  xfsimg map disk.img --format ndjson`,
  );
  command.action(map);
}

/** What is to be drawn of each AG. */
function wanted(path: string, { g }: Volume, options: MapOptions): { agno: number; range?: Range }[] {
  const { ag: agno, blocks } = options;
  if (agno === undefined) {
    if (blocks !== undefined) throw new CliError('--blocks needs --ag: blocks of which group?', EXIT.USAGE);
    return Array.from({ length: g.agcount }, (_, i) => ({ agno: i }));
  }
  if (agno >= g.agcount)
    throw new CliError(`${path}: --ag ${agno}: the filesystem has AGs 0 to ${g.agcount - 1}`, EXIT.USAGE);
  return [{ agno, range: blocks }];
}

async function map(path: string, options: MapOptions): Promise<void> {
  const volume = openImage(path, options);
  const [{ observe }, { usageOf }, { fileRanges }, { Damage }, { findOperand }] = await Promise.all([
    import('../repair/observe/observe.js'),
    import('../report/usage.js'),
    import('../report/map.js'),
    import('./damage.js'),
    import('./operands.js'),
  ]);
  try {
    const parts = wanted(path, volume, options);
    const damage = new Damage(volume, path);
    const observation = observe(volume);
    for (const fault of observation.log.faults) damage.fault(fault);
    const usage = usageOf(observation);
    const views = parts.map(({ agno, range }) => {
      const ag = usage.ags[agno];
      const { from, to } = range ?? { from: 0, to: ag.length };
      if (from >= ag.length)
        throw new CliError(`${path}: --blocks: AG ${agno} has blocks 0 to ${ag.length - 1}`, EXIT.USAGE);
      return { ag, range: { from, to: Math.min(to, ag.length) } };
    });
    const inode =
      options.file === undefined ? undefined : findOperand(volume, options.file, damage, { follow: false });
    const file = inode === undefined ? undefined : fileRanges(volume, inode, volume.report);
    if (wantsRows(options) || options.columns !== undefined)
      await showRows({ image: path, volume }, views, file, options);
    else if (options.file === undefined || file !== undefined) await draw(path, volume, views, file, options);
    await sayDamage(usage.sums, damage);
    damage.finish();
  } finally {
    volume.close();
  }
}

type Views = Parameters<typeof import('./mapdraw.js').drawMap>[1]['views'];
type FileRanges = ReadonlyMap<number, readonly Range[]> | undefined;

async function showRows(
  subject: Subject,
  views: Views,
  file: FileRanges,
  options: MapOptions,
): Promise<void> {
  const [{ MAP }, { emitMap }, { openTable }] = await Promise.all([
    import('../dump/rows/usage.js'),
    import('../report/map.js'),
    import('./render/table.js'),
  ]);
  const rows = await openTable(MAP, options, subject);
  for (const { ag, range } of views) emitMap(rows, ag, range, file);
  rows.finish();
}

async function draw(
  path: string,
  volume: Volume,
  views: Views,
  file: FileRanges,
  options: MapOptions,
): Promise<void> {
  const [{ drawMap }, { Output, stdoutIsTerminal }, { wantsColor }, { Chalk }] = await Promise.all([
    import('./mapdraw.js'),
    import('./render/output.js'),
    import('./render/table.js'),
    import('chalk'),
  ]);
  const terminal = stdoutIsTerminal();
  const color = options.color === 'always' || (terminal && wantsColor(options.color));
  // Two, four or many colours: what the terminal can do; where it is none, what every one can by now.
  const depth = terminal ? process.stdout.getColorDepth() : 24;
  const level = !color ? 0 : depth >= 24 ? 3 : depth >= 8 ? 2 : 1;
  const out = new Output();
  drawMap(out, {
    name: path,
    g: volume.g,
    views,
    file,
    width: options.width ?? (terminal ? process.stdout.columns : undefined) ?? 80,
    chalk: new Chalk({ level }),
  });
  out.flush();
}

/** What no single structure is at fault for: blocks that two claim, or none. */
async function sayDamage(sums: Float64Array, damage: Damage): Promise<void> {
  const { USE } = await import('../dump/rows/usage.js');
  const contested = sums[USE.contested];
  const lost = sums[USE.lost];
  if (contested > 0 || lost > 0)
    damage.line(`${contested} blocks contested, ${lost} lost: xfsimg repair -n tells whose they are`);
}
