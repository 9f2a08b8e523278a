/** Commands side by side: time by hyperfine where it is installed, peak memory of the last run. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../support/oracle.js';

export const XFSIMG = fileURLToPath(new URL('../../bin/xfsimg.js', import.meta.url));

/** A certificate file given to Node by the environment is read at every start: it is no part of any command. */
export const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined };

/** A command line as a list of words. */
export type Command = readonly string[];

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
const line = (command: Command): string => command.map(quote).join(' ');

/**
 * Best seconds of each command: other work on the machine only ever adds. They take turns, for a machine has slow and
 * fast minutes. `prepare`: a shell command before each run, outside the time.
 */
export function seconds(commands: readonly Command[], runs = 10, prepare?: string): number[] {
  if (spawnSync('hyperfine', ['--version']).status === 0) {
    const folder = mkdtempSync(join(tmpdir(), 'xfsimg-bench-'));
    try {
      const out = join(folder, 'times.json');
      const flags = ['-N', '--runs', '1', '--export-json', out];
      if (prepare !== undefined) flags.push('--prepare', `sh -c ${quote(prepare)}`);
      const best = commands.map(() => Number.POSITIVE_INFINITY);
      for (let i = 0; i < runs; i++) {
        run('hyperfine', [...flags, '--warmup', i === 0 ? '2' : '0', ...commands.map(line)], { env });
        const { results } = JSON.parse(readFileSync(out, 'utf8')) as { results: { min: number }[] };
        results.forEach(({ min }, c) => {
          best[c] = Math.min(best[c], min);
        });
      }
      return best;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const best = commands.map(() => Number.POSITIVE_INFINITY);
  for (let i = -2; i < runs; i++)
    commands.forEach(([program, ...args], c) => {
      if (prepare !== undefined) run('sh', ['-c', prepare]);
      const from = performance.now();
      const { status, stderr } = spawnSync(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
      if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
      if (i >= 0) best[c] = Math.min(best[c], (performance.now() - from) / 1000);
    });
  return best;
}

/** Peak resident memory of a Node program in MB. */
export function peakMegabytes([node, ...args]: Command): number {
  const hook =
    'data:text/javascript,process.on("exit",()=>process.stderr.write("\\npeak "+process.resourceUsage().maxRSS))';
  const { stderr } = spawnSync(node, ['--import', hook, ...args], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const match = /peak (\d+)$/.exec(stderr);
  if (match === null) throw new Error(`no memory figure from ${args.join(' ')}: ${stderr}`);
  return Number(match[1]) / 1024;
}

export interface Contest {
  readonly what: string;
  readonly ours: Command;
  /** Another program that does the same; its time is what ours is held against. */
  readonly peer?: Command;
  /** Ours may take this many times the peer's time. Default 1. */
  readonly ratio?: number;
  /** Ours may take this many seconds. */
  readonly limit?: number;
  /** Ours may take this many MB. */
  readonly memory?: number;
  readonly runs?: number;
}

/** Runs contests and prints a line for each. Returns whether all bounds were kept. */
export function compete(contests: readonly Contest[]): boolean {
  let kept = true;
  console.log('what\tours s\tpeer s\tratio\tlimit\tpeak MB\tkept');
  for (const { what, ours, peer, ratio = 1, limit, memory, runs } of contests) {
    const [mine, theirs] = seconds(peer === undefined ? [ours] : [ours, peer], runs);
    const peak = memory === undefined ? undefined : peakMegabytes(ours);
    const ok =
      (theirs === undefined || mine <= theirs * ratio) &&
      (limit === undefined || mine <= limit) &&
      (peak === undefined || peak <= (memory ?? 0));
    kept &&= ok;
    const cells = [
      what,
      mine.toFixed(3),
      theirs?.toFixed(3) ?? '',
      theirs === undefined ? '' : (mine / theirs).toFixed(2),
      limit === undefined ? (theirs === undefined ? '' : `${ratio} x peer`) : `${limit} s`,
      peak?.toFixed(0) ?? '',
      ok ? 'yes' : 'NO',
    ];
    console.log(cells.join('\t'));
  }
  return kept;
}
