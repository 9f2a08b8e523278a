/**
 * From the options of the command line to the writer of a table: the one way any command prints rows.
 *
 *     addTableOptions(command);
 *     ...
 *     const rows = await openTable(REFCOUNT, options, { image, volume });
 *     dumpRefcount(volume, rows);
 *     rows.finish();
 */
import { type Command, Option } from 'commander';
import type { Table } from '../../dump/table.js';
import type { Volume } from '../../volume/volume.js';
import { CliError, EXIT } from '../errors.js';
import { meant } from '../nearest.js';
import { DelimitedWriter } from './delimited.js';
import { JsonWriter } from './json.js';
import { Output, stdoutIsTerminal } from './output.js';
import type { TableWriter } from './writer.js';

export const FORMATS = ['table', 'json', 'ndjson', 'csv', 'tsv', 'parquet'] as const;
export type Format = (typeof FORMATS)[number];

/** What commander makes of `addTableOptions`. */
export interface TableOptions {
  format?: Format;
  columns?: string;
  /** False with --no-header. */
  header?: boolean;
  color?: 'auto' | 'always' | 'never';
  /** A file for the rows; - is standard output. */
  output?: string;
}

/** What the rows tell of: a Parquet file says so in every row. */
export interface Subject {
  /** The image's path as it was given. */
  readonly image: string;
  readonly volume: Pick<Volume, 'superblock' | 'g'>;
}

export function addTableOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--format <format>',
        'how rows are written (default: table on a terminal, tsv elsewhere)',
      ).choices(FORMATS),
    )
    .option('--columns <names>', 'columns to show, in this order, separated by commas')
    .option('--no-header', 'no line of column names (table, csv, tsv)')
    .option('-o, --output <file>', 'write the rows to a file (parquet needs one)')
    .addOption(colorOption())
    .hook('preAction', (_, action) => {
      const { format, output } = action.opts<TableOptions>();
      if (format === 'parquet' && output === undefined)
        throw new CliError('--format parquet needs -o FILE: it is binary', EXIT.USAGE);
    });
}

/** For commands whose output is no table by itself: whether rows are asked for instead. */
export const wantsRows = ({ format, output }: TableOptions): boolean =>
  format !== undefined || output !== undefined;

export const colorOption = (): Option =>
  new Option('--color <when>', 'colours in tables').choices(['auto', 'always', 'never']).default('auto');

/** Whether to colour what goes to `stream`: --color decides, then NO_COLOR, then whether it is a terminal. */
export function wantsColor(
  when: TableOptions['color'],
  stream: { isTTY?: boolean } = process.stdout,
): boolean {
  if (when === 'always') return true;
  if (when === 'never' || (process.env.NO_COLOR ?? '') !== '' || process.env.TERM === 'dumb') return false;
  return stream.isTTY === true;
}

/** Numbers of the columns `--columns` names; throws CliError naming those there are. */
export function chooseColumns(table: Table, names: string | undefined): number[] {
  if (names === undefined) return table.columns.map((_, i) => i);
  return names.split(',').map((raw) => {
    const name = raw.trim();
    const at = table.columns.findIndex((c) => c.name === name);
    if (at < 0) {
      const known = table.columns.map((c) => c.name);
      const hint = meant(name, known, `its columns are ${known.join(',')}`);
      throw new CliError(`--columns: no column '${name}' in ${table.name}: ${hint}`, EXIT.USAGE);
    }
    return at;
  });
}

/**
 * The writer for a table. Loads the terminal's drawing libraries, and Parquet's, only where they are used.
 * Throws CliError for columns there are not and for a file that cannot be written.
 */
export async function openTable(table: Table, options: TableOptions, subject: Subject): Promise<TableWriter> {
  const chosen = chooseColumns(table, options.columns);
  const header = options.header !== false;
  const intoFile = options.output !== undefined && options.output !== '-';
  const format = options.format ?? (!intoFile && stdoutIsTerminal() ? 'table' : 'tsv');
  const out = intoFile ? await openFile(options.output!, subject.image) : new Output();
  switch (format) {
    case 'json':
    case 'ndjson':
      return new JsonWriter(table, chosen, out, { array: format === 'json' });
    case 'csv':
    case 'tsv':
      return new DelimitedWriter(table, chosen, out, { format, header });
    case 'table': {
      const [{ GridWriter }, { default: Table3 }, { Chalk }] = await Promise.all([
        import('./grid.js'),
        import('cli-table3'),
        import('chalk'),
      ]);
      const colored = wantsColor(options.color, intoFile ? {} : process.stdout);
      const chalk = new Chalk({ level: colored ? 1 : 0 });
      const width = (intoFile ? undefined : process.stdout.columns) ?? Number.POSITIVE_INFINITY;
      return new GridWriter(table, chosen, out, { header, width, tools: { Table3, chalk } });
    }
    case 'parquet': {
      const [{ ParquetTableWriter }, { importPackage }] = await Promise.all([
        import('./parquet.js'),
        import('../package.js'),
      ]);
      const tools = await importPackage<typeof import('hyparquet-writer')>('hyparquet-writer');
      return new ParquetTableWriter(table, chosen, out, { subject, tools });
    }
  }
}

async function openFile(path: string, image: string): Promise<Output> {
  const { openOutputFile } = await import('./file.js');
  return openOutputFile(path, image);
}
