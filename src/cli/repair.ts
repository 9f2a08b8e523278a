/** `xfsimg repair IMAGE` */
import { type Command, Option } from 'commander';
import type { Source } from '../image/source.js';
import type { Finding } from '../repair/finding.js';
import type { Progress } from '../repair/observe/observe.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, imageError, openImage, openImageSource } from './image.js';

interface RepairOptions extends ImageOptions {
  dryRun?: boolean;
  exitRepaired?: boolean;
  json?: boolean;
  verbose?: boolean;
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
    .option('-v, --verbose', 'show notes and evidence too, and progress on stderr')
    .option('--force', 'even if the image is in use');
  addImageOptions(command);
  command.action(async (path: string, options: RepairOptions) => {
    if (options.dryRun === true) await look(path, options);
    else await change(path, options);
  });
}

function progressOf(options: RepairOptions): Progress | undefined {
  if (options.verbose !== true) return undefined;
  return ({ phase, done }) => {
    if (done === 0) process.stderr.write(`xfsimg: reading ${phase}\n`);
  };
}

async function look(path: string, options: RepairOptions): Promise<void> {
  const [{ examineByThreads }, { scanLog }, { formatLsn }] = await Promise.all([
    import('../repair/examine.js'),
    import('../journal/scan.js'),
    import('../format/log.js'),
  ]);
  const volume = openImage(path, options);
  const log = logErrors(path, () => scanLog(volume.source, volume.g));
  if (!log.clean)
    throw new CliError(
      `${path}: the log is dirty, head ${formatLsn(log.head)}, tail ${formatLsn(log.tail)}: replay it first (xfsimg log IMAGE replay, or mount and unmount)`,
      EXIT.UNUSABLE,
    );
  const { findings } = await examineByThreads(volume, progressOf(options));
  const damage = await show(findings, options);
  process.stderr.write(
    damage === 0 ? `xfsimg: ${path}: clean\n` : `xfsimg: ${path}: ${count(damage)}; nothing was written\n`,
  );
  volume.close();
  if (damage > 0) process.exitCode = EXIT.FAILED;
}

async function change(path: string, options: RepairOptions): Promise<void> {
  const [
    { repairByThreads, UnrepairedError },
    { NoSpaceError },
    { saveUndo },
    { recoverLog },
    { refuseInUse },
  ] = await Promise.all([
    import('../repair/repair.js'),
    import('../repair/rebuild/space.js'),
    import('../repair/undo.js'),
    import('../transaction/recovery/recover.js'),
    import('./inuse.js'),
  ]);
  refuseInUse(path, options.force, 'repairs');
  // Looked at first as a filesystem: what is none is refused by name.
  openImage(path, options).close();
  const source = openImageSource(path, { ...options, write: true });
  try {
    if (options.dropLog === true) await dropTheLog(path, source);
    const recovery = logErrors(path, () => recoverLog(source));
    if (!recovery.clean)
      process.stderr.write(`xfsimg: ${path}: log replayed, ${recovery.transactions} transactions\n`);
    const { findings, written } = await repairByThreads(source, {
      onDuplicate: options.onDuplicate,
      progress: progressOf(options),
      undo: options.undo === undefined ? undefined : (ranges) => saveUndo(options.undo!, source, ranges),
    });
    const damage = await show(findings, options);
    process.stderr.write(
      written === 0
        ? `xfsimg: ${path}: clean, nothing was written\n`
        : `xfsimg: ${path}: ${count(damage)}, repaired; ${written} bytes written\n`,
    );
    if (written > 0 && options.exitRepaired === true) process.exitCode = EXIT.REPAIRED;
  } catch (error) {
    if (error instanceof UnrepairedError) await show(error.findings, options);
    if (error instanceof UnrepairedError || error instanceof NoSpaceError)
      throw new CliError(`${path}: ${error.message}`, EXIT.FAILED);
    throw imageError(path, error);
  } finally {
    source.close();
  }
}

/** Empties the log unless it is clean. */
async function dropTheLog(path: string, source: Source): Promise<void> {
  const [{ dropLog }, { scanLog }, { openVolume }] = await Promise.all([
    import('../journal/clear.js'),
    import('../journal/scan.js'),
    import('../volume/volume.js'),
  ]);
  const volume = openVolume(source);
  try {
    if (scanLog(source, volume.g).clean) return;
  } catch (error) {
    if ((error as Error).name !== 'LogError') throw error;
  }
  dropLog(volume);
  process.stderr.write(`xfsimg: ${path}: the log was dropped\n`);
}

const count = (damage: number): string => `${damage} ${damage === 1 ? 'finding' : 'findings'}`;

/** Findings to stdout, their summary to stderr; returns the number of those that are damage. */
async function show(findings: readonly Finding[], options: RepairOptions): Promise<number> {
  const [{ summarize }, { Output }] = await Promise.all([
    import('../repair/examine.js'),
    import('./render/output.js'),
  ]);
  const shown = findings.filter((f) => f.severity === 'damage' || options.verbose === true);
  const out = new Output();
  for (const finding of shown) {
    if (options.json === true) out.text(`${JSON.stringify(finding)}\n`);
    else for (const line of linesOf(finding, options.verbose === true)) out.text(`${line}\n`);
  }
  out.flush();
  for (const { code, severity, count } of summarize(shown))
    process.stderr.write(`xfsimg: ${count} ${severity === 'note' ? `${code} (note)` : code}\n`);
  return findings.filter((f) => f.severity === 'damage').length;
}

function logErrors<T>(path: string, scan: () => T): T {
  try {
    return scan();
  } catch (error) {
    if ((error as Error).name !== 'LogError') throw error;
    throw new CliError(`${path}: ${(error as Error).message}`, EXIT.UNUSABLE);
  }
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
