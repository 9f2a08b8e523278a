/** `xfsimg log IMAGE [status|records|transactions|items|replay|clear]` */
import { Argument, type Command } from 'commander';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, openImage } from './image.js';
import type { LogWriteOptions } from './logwrite.js';
import { addTableOptions, type TableOptions } from './render/table.js';

const SHOWN = ['status', 'records', 'transactions', 'items'] as const;
const WHAT = [...SHOWN, 'replay', 'clear'] as const;
type What = (typeof WHAT)[number];

export function register(program: Command): void {
  const command = program
    .command('log')
    .description('Show the journal of the filesystem in IMAGE, replay it, or drop it.')
    .argument('<image>', 'image file or block device')
    .addArgument(new Argument('[what]', 'what to show, or to do').choices(WHAT).default('status'))
    .option(
      '-a, --all',
      'records, transactions, items: also those behind the tail, as far as they are intact',
    )
    .option('-n, --dry-run', 'replay, clear: write nothing')
    .option('-q, --quiet', 'replay: no progress on the terminal')
    .option('--force', 'replay, clear: even where the image is in use');
  addImageOptions(command);
  addTableOptions(command);
  command.addHelpText(
    'after',
    `
replay does what Linux does at mount: everything committed is put in place, what was left half-done is
finished, and the log ends clean. clear drops all of that for a log that cannot be replayed.

Exit status: 0, also where the log is dirty; 2 where it cannot be replayed (what stands before the damage is
shown, and nothing written); 1 for other errors.

Examples:
  xfsimg log crashed.img
  xfsimg log crashed.img replay
  xfsimg log crashed.img items --format ndjson | jq 'select(.structure == "agf")'
  xfsimg log crashed.img items --columns type,structure | sort | uniq -c`,
  );
  command.action(
    async (
      path: string,
      what: What,
      options: ImageOptions & TableOptions & LogWriteOptions & { all?: boolean },
    ) => {
      if (what === 'replay' || what === 'clear') {
        const verbs = await import('./logwrite.js');
        await verbs[what](path, options);
        return;
      }
      const [rowsOf, { scanLog }, { LogError }, { openTable }, { Damage }] = await Promise.all([
        import('../dump/rows/log.js'),
        import('../journal/scan.js'),
        import('../journal/error.js'),
        import('./render/table.js'),
        import('./damage.js'),
      ]);
      const volume = openImage(path, options);
      const damage = new Damage(volume, path);
      const unusable = (error: unknown): unknown =>
        error instanceof LogError
          ? new CliError(`${path}: ${error.message}; the log cannot be replayed`, EXIT.UNUSABLE)
          : error;
      const all = options.all ?? false;
      try {
        const state = scanLog(volume.source, volume.g);
        const tables = {
          status: rowsOf.LOG_STATUS,
          records: rowsOf.LOG_RECORDS,
          transactions: rowsOf.LOG_TRANSACTIONS,
          items: rowsOf.LOG_ITEMS,
        };
        const rows = await openTable(tables[what], options, { image: path, volume });
        try {
          switch (what) {
            case 'status': {
              const { error } = rowsOf.dumpLogStatus(state, rows);
              if (error !== undefined) throw error;
              break;
            }
            case 'records':
              rowsOf.dumpLogRecords(state, rows, all);
              break;
            case 'transactions':
              rowsOf.dumpLogTransactions(state, rows, all);
              break;
            case 'items':
              rowsOf.dumpLogItems(state, rows, all);
              break;
          }
        } finally {
          rows.finish();
        }
        if (state.clean && !all && what !== 'status')
          process.stderr.write('xfsimg: the log is clean; --all shows what it still holds\n');
      } catch (error) {
        throw unusable(error);
      }
      damage.finish();
      volume.close();
    },
  );
}
