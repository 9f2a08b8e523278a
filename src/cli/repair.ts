/** `xfsimg repair IMAGE` */
import type { Command } from 'commander';
import type { Finding } from '../repair/finding.js';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, openImage } from './image.js';

interface RepairOptions extends ImageOptions {
  dryRun?: boolean;
  json?: boolean;
  verbose?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('repair')
    .description(
      'Check a filesystem: who owns each block, by the evidence of flags, reference counts and reverse mappings.',
    )
    .argument('<image>', 'image file or block device')
    .option('-n, --dry-run', 'look only: nothing is written')
    .option('--json', 'one JSON object a finding')
    .option('-v, --verbose', 'show notes and evidence too, and progress on stderr');
  addImageOptions(command);
  command.action(async (path: string, options: RepairOptions) => {
    if (options.dryRun !== true)
      throw new CliError(`${path}: repair without -n is not yet there; nothing was written`, EXIT.FAILED);
    await look(path, options);
  });
}

async function look(path: string, options: RepairOptions): Promise<void> {
  const [{ examine, summarize }, { scanLog }, { formatLsn }, { Output }] = await Promise.all([
    import('../repair/examine.js'),
    import('../journal/scan.js'),
    import('../format/log.js'),
    import('./render/output.js'),
  ]);
  const volume = openImage(path, options);
  const log = scanLogOf(path, () => scanLog(volume.source, volume.g));
  if (!log.clean)
    throw new CliError(
      `${path}: the log is dirty, head ${formatLsn(log.head)}, tail ${formatLsn(log.tail)}: replay it first (xfsimg log IMAGE replay, or mount and unmount)`,
      EXIT.UNUSABLE,
    );
  const progress =
    options.verbose === true
      ? (phase: string, agno: number) => {
          if (agno === 0) process.stderr.write(`xfsimg: reading ${phase}\n`);
        }
      : undefined;
  const { findings } = examine(volume, progress);
  const shown = findings.filter((f) => f.severity === 'damage' || options.verbose === true);
  const out = new Output();
  for (const finding of shown) {
    if (options.json === true) out.text(`${JSON.stringify(finding)}\n`);
    else for (const line of linesOf(finding, options.verbose === true)) out.text(`${line}\n`);
  }
  out.flush();
  const damage = findings.filter((f) => f.severity === 'damage').length;
  for (const { code, severity, count } of summarize(shown))
    process.stderr.write(`xfsimg: ${count} ${severity === 'note' ? `${code} (note)` : code}\n`);
  process.stderr.write(
    damage === 0
      ? `xfsimg: ${path}: clean\n`
      : `xfsimg: ${path}: ${damage} ${damage === 1 ? 'finding' : 'findings'}; nothing was written\n`,
  );
  volume.close();
  if (damage > 0) process.exitCode = EXIT.FAILED;
}

function scanLogOf<T>(path: string, scan: () => T): T {
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
