/** `xfsimg repair IMAGE` */
import { type Command, Option } from 'commander';
import type { Finding } from '../repair/finding.js';
import type { Volume } from '../volume/volume.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, imageError, openImageSource } from './image.js';
import { endingAt } from './interrupt.js';
import { Output } from './render/output.js';
import type { Progress } from './render/progress.js';
import { addTableOptions, openTable, type TableOptions, wantsRows } from './render/table.js';

interface RepairOptions extends ImageOptions, TableOptions {
  dryRun?: boolean;
  exitRepaired?: boolean;
  json?: boolean;
  verbose?: boolean;
  quiet?: boolean;
  onDuplicate: 'quarantine' | 'clone' | 'clear';
  undo?: string;
  force?: boolean;
  dropLog?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('repair')
    .description(
      'Check and repair a filesystem. Who owns each block is judged by the evidence of flags, reference counts and reverse mappings.',
    )
    .argument('<image>', 'image file or block device')
    .option('-n, --dry-run', 'look only: nothing is written')
    .option('-L, --drop-log', 'drop a log that cannot be replayed: what it holds is lost')
    .option('-e, --exit-repaired', 'exit with status 4 when something was repaired')
    .addOption(
      new Option('--on-duplicate <policy>', 'blocks that no evidence gives to one of their claimants')
        .choices(['quarantine', 'clone', 'clear'])
        .default('quarantine'),
    )
    .option('--undo <file>', 'keep what is overwritten in a new file: xfsimg undo puts it back')
    .option('--json', 'one JSON object a finding')
    .option('-v, --verbose', 'show notes and evidence too, and each phase with its time on stderr')
    .option('-q, --quiet', 'no progress on the terminal')
    .option('--force', 'even if the image is in use');
  addTableOptions(addImageOptions(command));
  command.action(async (path: string, options: RepairOptions) => {
    if (wantsRows(options) && (options.dryRun !== true || options.json === true))
      throw new CliError('findings as rows (--format, -o) need -n, and no --json', EXIT.USAGE);
    if (options.dryRun === true) await look(path, options);
    else await change(path, options);
  });
}

/** What a repair that is interrupted has done. */
const NOTHING = 'nothing was written';

/** Progress as -v and the terminal want it, and on SIGUSR1. */
async function progressOf(options: RepairOptions): Promise<Progress> {
  const { Progress } = await import('./render/progress.js');
  return new Progress({ quiet: options.quiet, verbose: options.verbose }).onSignal();
}

async function look(path: string, options: RepairOptions): Promise<void> {
  const source = openImageSource(path, options);
  const [
    { examineByThreads },
    { restoreSuperblock, settleLog },
    { OverlaySource },
    { openVolume },
    { scanLog },
  ] = await Promise.all([
    import('../repair/examine.js'),
    import('../repair/prepare.js'),
    import('../image/overlay.js'),
    import('../volume/volume.js'),
    import('../journal/scan.js'),
  ]);
  const progress = await progressOf(options);
  try {
    const overlay = new OverlaySource(source);
    const restored = restoreSuperblock(overlay);
    // Several threads can read the image itself, and not what stands in memory over it.
    let volume = openVolume(restored.length > 0 ? overlay : source);
    if (!cleanLog(volume, scanLog, options)) {
      const log = settleLog(overlay, options.dropLog === true);
      const how = log.kind === 'replayed' ? `${log.recovery.transactions} transactions replayed` : 'dropped';
      process.stderr.write(`xfsimg: ${path}: the log is dirty: ${how}, in memory alone\n`);
      volume = openVolume(overlay);
    }
    const print = await openRows(path, volume, options);
    const { findings } = await endingAt(NOTHING, () => examineByThreads(volume, progress.update));
    progress.finish();
    const damage = await show([...restored, ...findings], options, print);
    process.stderr.write(
      damage === 0 ? `xfsimg: ${path}: clean\n` : `xfsimg: ${path}: ${count(damage)}; nothing was written\n`,
    );
    if (damage > 0) process.exitCode = EXIT.FAILED;
  } catch (error) {
    progress.finish();
    throw repairError(path, error);
  } finally {
    source.close();
  }
}

/** Whether there is nothing to replay. Throws LogError where that cannot be said, unless the log is to be dropped. */
function cleanLog(
  { source, g }: Volume,
  scanLog: typeof import('../journal/scan.js').scanLog,
  options: RepairOptions,
): boolean {
  try {
    return scanLog(source, g).clean;
  } catch (error) {
    if ((error as Error).name === 'LogError' && options.dropLog === true) return false;
    throw error;
  }
}

async function change(path: string, options: RepairOptions): Promise<void> {
  const { refuseInUse } = await import('./inuse.js');
  refuseInUse(path, options.force, 'repairs');
  const source = openImageSource(path, { ...options, write: true });
  const [{ repairByThreads, UnrepairedError }, { saveUndo }] = await Promise.all([
    import('../repair/repair.js'),
    import('../repair/undo.js'),
  ]);
  const progress = await progressOf(options);
  try {
    // Written is at the end, in one go that no signal gets into.
    const { findings, log, written } = await endingAt(NOTHING, () =>
      repairByThreads(source, {
        onDuplicate: options.onDuplicate,
        dropLog: options.dropLog,
        progress: progress.update,
        undo:
          options.undo === undefined
            ? undefined
            : (ranges, after) => saveUndo(options.undo!, source, ranges, after),
      }),
    );
    progress.finish();
    if (log.kind === 'replayed')
      process.stderr.write(`xfsimg: ${path}: log replayed, ${log.recovery.transactions} transactions\n`);
    if (log.kind === 'trimmed')
      process.stderr.write(`xfsimg: ${path}: the torn end of the log was cleared\n`);
    if (log.kind === 'dropped') process.stderr.write(`xfsimg: ${path}: the log was dropped\n`);
    const damage = await show(findings, options);
    process.stderr.write(
      damage > 0
        ? `xfsimg: ${path}: ${count(damage)}, repaired; ${written} bytes written\n`
        : `xfsimg: ${path}: clean${written === 0 ? ', nothing was written' : ''}\n`,
    );
    if (damage > 0 && options.exitRepaired === true) process.exitCode = EXIT.REPAIRED;
  } catch (error) {
    progress.finish();
    if (error instanceof UnrepairedError) await show(error.findings, options);
    throw repairError(path, error);
  } finally {
    source.close();
  }
}

/** One line and the exit status for what stands in the way of a repair. */
function repairError(path: string, error: unknown): unknown {
  const { name, message } = error as Error;
  if (name === 'UnrepairedError' || name === 'NoSpaceError')
    return new CliError(`${path}: ${message}`, EXIT.FAILED);
  if (name === 'LogError')
    return new CliError(
      `${path}: ${message}; repair -L drops the log, and what it holds is lost`,
      EXIT.UNUSABLE,
    );
  return imageError(path, error);
}

const count = (damage: number): string => `${damage} ${damage === 1 ? 'finding' : 'findings'}`;

/** Findings to stdout, their summary to stderr; returns the number of those that are damage. */
async function show(
  findings: readonly Finding[],
  options: RepairOptions,
  print: Print = printLines,
): Promise<number> {
  const { summarize } = await import('../repair/examine.js');
  const shown = findings.filter((f) => f.severity === 'damage' || options.verbose === true);
  print(shown, options);
  for (const { code, severity, count } of summarize(shown))
    process.stderr.write(`xfsimg: ${count} ${severity === 'note' ? `${code} (note)` : code}\n`);
  return findings.filter((f) => f.severity === 'damage').length;
}

type Print = (findings: readonly Finding[], options: RepairOptions) => void;

const printLines: Print = (findings, options) => {
  const out = new Output();
  for (const finding of findings) {
    if (options.json === true) out.text(`${JSON.stringify(finding)}\n`);
    else for (const line of linesOf(finding, options.verbose === true)) out.text(`${line}\n`);
  }
  out.flush();
};

/** Opens the table of findings, where one is asked for. Throws CliError. */
async function openRows(image: string, volume: Volume, options: RepairOptions): Promise<Print | undefined> {
  if (!wantsRows(options)) return undefined;
  const [{ FINDINGS }, { emitRow }] = await Promise.all([
    import('../dump/rows/findings.js'),
    import('../dump/table.js'),
  ]);
  const rows = await openTable(FINDINGS, options, { image, volume });
  return (findings) => {
    for (const f of findings)
      emitRow(rows, FINDINGS, {
        code: f.code,
        severity: f.severity,
        agno: f.agno ?? null,
        agbno: f.agbno ?? null,
        blocks: f.blocks ?? null,
        ino: f.ino ?? null,
        path: f.path ?? null,
        offset: f.offset ?? null,
        message: f.message,
        action: f.action,
      });
    rows.finish();
  };
}

/** A finding as text: one line, and the evidence below it where asked for. */
function linesOf(f: Finding, verbose: boolean): string[] {
  const lines = [`${f.code}: ${f.message}; ${f.action}`];
  if (!verbose || f.evidence === undefined) return lines;
  const { claims, refcount, rmap, standing } = f.evidence;
  for (const c of claims ?? []) {
    const who = c.ino === undefined ? `the filesystem's ${c.kind}` : `inode ${c.ino} ${c.kind}`;
    const where = c.offset === undefined ? '' : ` at file block ${c.offset}`;
    const flag = c.reflink === undefined ? '' : c.reflink ? ', flagged' : ', not flagged';
    const confirmed = c.rmap === null ? '' : c.rmap ? ', in the rmap btree' : ', not in the rmap btree';
    lines.push(`    claim: ${who}${where}${flag}${confirmed}: ${c.verdict}`);
  }
  if (refcount !== undefined)
    lines.push(
      refcount === null
        ? '    refcount: no record'
        : `    refcount: ${refcount.count}${refcount.domain === 'cow' ? ' (CoW staging)' : ''}`,
    );
  if (rmap === null) lines.push('    rmap: no btree that verifies');
  for (const r of rmap ?? [])
    lines.push(
      `    rmap: ${typeof r.owner === 'number' ? `inode ${r.owner} ${r.kind} at file block ${r.offset}` : r.owner}${r.claimed ? '' : ', which does not claim it'}`,
    );
  if (standing !== undefined) lines.push(`    standing on it: ${standing}`);
  return lines;
}
