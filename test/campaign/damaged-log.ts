/**
 * Damaged logs: fields of record headers, operations and items changed by the fuzzer's verbs under a right checksum
 * or a wrong one, and sectors zeroed, flipped or filled with noise, in logs of real crashes. Whatever was done, xfsimg
 * either refuses with a LogError, nothing written, or recovers what Linux recovers of the same image. Only what a right
 * checksum vouches for and is no part of the log itself (contents of blocks and files) may be replayed as it is: then
 * `repair`, which follows, finds it.
 *
 *     node --import tsx test/campaign/damaged-log.ts [--seed N] [--minutes N] [--linux SHARE] [--image PATH]... [--made N]
 *         [--only STRUCTURE] [--verbose]
 *
 * `linux`: the share of cases that Linux is asked about. `made`: crashes made anew beside those of fixtures/. Prints
 * what was decided otherwise by Linux, and counts; exits 1 for a crash, a hang, a write before a refusal, or a replay
 * that Linux does not make.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatUuid, viewOf } from '../../src/format/structure.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { FileSource, type Source } from '../../src/image/source.js';
import { LogError } from '../../src/journal/error.js';
import type { LogRecord } from '../../src/journal/record.js';
import { type LogState, scanLog } from '../../src/journal/scan.js';
import { examine } from '../../src/repair/examine.js';
import { recoverLog } from '../../src/transaction/recovery/recover.js';
import { openVolume } from '../../src/volume/volume.js';
import { random, VERBS } from '../fuzz/verbs.js';
import { activeRecords } from '../journal/damage.js';
import { changeField, type LogField, logFields, openRecord, writeRecord } from '../journal/logfields.js';
import { CRASH_GEOMETRIES, crashImage, Load, PARENT_GEOMETRIES, treeDifferences } from '../support/crash.js';
import { fixture } from '../support/fixture.js';
import { copyImage, run, tmpdir } from '../support/oracle.js';
import { describeTree, type Tree } from '../support/tree.js';
import { readTree, withoutSystem } from '../volume/readtree.js';
import { isDeliberate } from './intents.js';

export const DAMAGED_FIXTURES = [
  'crash-plain',
  'crash-rmapbt',
  'crash-wrapped',
  'crash-intents',
  'crash-attri',
  'crash-xmi',
];
/** Milliseconds within which a small log is recovered or refused, on a machine that does other things too. */
const HANG = 30_000;

/** An image with a log that is not clean, and the places to damage it at. */
export class DamagedLog {
  readonly image: string;
  readonly file: FileSource;
  readonly state: LogState;
  readonly records: readonly LogRecord[];
  /** The fields of each name, 'BUF blkno', wherever they stand. */
  readonly fields = new Map<string, LogField[]>();

  constructor(image: string) {
    this.image = image;
    this.file = FileSource.open(image);
    this.state = scanLog(this.file, openVolume(this.file).g);
    this.records = this.state.clean ? [] : activeRecords(this.state);
    for (const field of logFields(this.records)) {
      const name = `${field.structure} ${field.field}`;
      if (!this.fields.has(name)) this.fields.set(name, []);
      this.fields.get(name)!.push(field);
    }
  }

  close(): void {
    this.file.close();
  }
}

export interface Damage {
  /** In words. */
  readonly what: string;
  /** Does it to the image; false where that changes nothing. */
  readonly apply: (target: Source, next: () => number) => boolean;
}

const SECTOR_DAMAGE = {
  zeroed: (b: Uint8Array) => void b.fill(0),
  flipped: (b: Uint8Array, next: () => number) => {
    b[next() % b.length] ^= 1 << (next() & 7);
  },
  noise: (b: Uint8Array, next: () => number) => {
    for (let i = 0; i < b.length; i++) b[i] = next();
  },
} as const;

/** Every damage of every kind, each at a place that `next` chooses. */
export function* damages(log: DamagedLog, next: () => number): Generator<Damage> {
  const { state, records, fields } = log;
  const { device } = state;
  for (const [name, places] of fields)
    for (const verb of VERBS) {
      const place = places[next() % places.length];
      const seal = verb !== 'middlebit' || next() % 2 === 0;
      yield {
        what: `${name} ${verb}${seal ? '' : ', checksum wrong'}`,
        apply: (target, noise) => changeField(target, state, place, verb, noise, seal),
      };
    }
  for (const [kind, change] of Object.entries(SECTOR_DAMAGE))
    for (let i = 0; i < 12; i++) {
      const record = records[next() % records.length];
      const { headerBlocks, data, block } = record;
      const blocks = headerBlocks + Math.ceil(data.length / 512);
      const n = next() % blocks;
      if (i % 2 === 0)
        yield {
          what: `sector ${kind}`,
          apply: (target, noise) => {
            const b = new Uint8Array(512);
            const at = device.start + ((block + n) % device.blocks) * 512;
            target.read(at, b);
            change(b, noise);
            target.write(at, b);
            return true;
          },
        };
      else
        yield {
          what: `data ${kind}, checksum right`,
          apply: (target, noise) => {
            const opened = openRecord(record);
            const at = (noise() % Math.ceil(data.length / 512)) * 512;
            change(opened.data.subarray(at, at + 512), noise);
            writeRecord(target, state, record, opened.headers, opened.data);
            return true;
          },
        };
    }
}

export type Ours =
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'recovered'; readonly image: Source };

/** What xfsimg makes of a damaged image. Throws where that is none of the answers allowed. */
export function recoverDamaged(damaged: Source): Ours {
  const overlay = new OverlaySource(damaged);
  const start = performance.now();
  let ours: Ours;
  try {
    recoverLog(overlay);
    ours = { kind: 'recovered', image: overlay };
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    // One line, and where.
    if (!/^log at LSN \d+\/\d+: [^\n]+$/.test(error.message))
      throw new Error(`not one line: ${error.message}`);
    if (overlay.dirtyPages > 0)
      throw new Error(`${overlay.dirtyPages} pages written, then: ${error.message}`);
    ours = { kind: 'refused', reason: error.reason };
  }
  if (performance.now() - start > HANG) throw new Error(`took ${performance.now() - start} ms`);
  return ours;
}

/** Undefined where it cannot be read. */
function treeOf(source: Source): Tree | undefined {
  const volume = openVolume(source);
  try {
    const tree = withoutSystem(readTree(volume));
    return volume.faults.length > 0 ? undefined : tree;
  } catch {
    return undefined;
  }
}

export type Verdict =
  | 'both refuse'
  | 'same'
  | 'stricter'
  /** What was logged of a block or a file makes no sense; Linux or whoever reads it finds that, and so does `repair`. */
  | 'found by repair'
  | 'Linux hangs'
  | 'REPLAYED WHAT LINUX REFUSES'
  | 'DIFFERENT';

/** Linux has no user or group of that number and shows another. */
const NO_ID = /: [ug]id is 4294967295, expected 65534$/;

/** Milliseconds a mount may take. A refused one has been seen to wait for itself in the kernel (6.18) for ever. */
const STUCK = 60_000;
const MOST_HANGS = 3;

/** Mounts a loop device where a mount that never ends can be left behind. */
function mounts(device: string, at: string): Promise<'mounted' | 'refused' | 'stuck'> {
  return new Promise((resolve) => {
    const child = spawn('mount', ['-t', 'xfs', '-o', 'nouuid,noatime', device, at], {
      stdio: 'ignore',
      detached: true,
    });
    const timer = setTimeout(() => {
      child.unref();
      resolve('stuck');
    }, STUCK);
    child.once('exit', (status) => {
      clearTimeout(timer);
      resolve(status === 0 ? 'mounted' : 'refused');
    });
  });
}

/** What Linux makes of a copy of the image, held against what xfsimg makes of it. */
export async function compareWithLinux(
  image: string,
  uuid: string,
  ours: Ours,
  since: number,
): Promise<{ verdict: Verdict; why: string[] }> {
  let tree: Tree | undefined;
  const mark = `xfsimg: ${image} ${performance.now()}`;
  writeFileSync('/dev/kmsg', mark);
  const at = `${image}.mnt`;
  mkdirSync(at, { recursive: true });
  const loop = run('losetup', ['-f', '--show', image]).stdout.trim();
  const outcome = await mounts(loop, at);
  if (outcome === 'stuck') return { verdict: 'Linux hangs', why: [ours.kind] };
  const mounted = outcome === 'mounted';
  try {
    if (mounted) tree = withoutSystem(describeTree(at));
  } catch {
    // Something in it cannot be read.
  } finally {
    if (mounted) run('umount', [at]);
    run('losetup', ['-d', loop]);
  }
  /** What the kernel said since then of the device this filesystem was on. */
  const said = (): string[] => {
    const lines = run('dmesg', []).stdout.split(mark).pop()!.split('\n');
    const [, device] =
      lines.map((line) => /\((\w+)\): Mounting .* (\S+)$/.exec(line) ?? []).find(([, , id]) => id === uuid) ??
      [];
    return lines.filter((line) => line.includes(`(${device})`)).slice(0, 8);
  };
  if (ours.kind === 'refused')
    return mounted ? { verdict: 'stricter', why: [ours.reason] } : { verdict: 'both refuse', why: [] };
  const here = treeOf(ours.image);
  const differences =
    tree === undefined || here === undefined
      ? [tree === here ? 'neither can read it all' : 'only one can read it all', ...said()]
      : treeDifferences(tree, here).filter((line) => !isDeliberate(line, since) && !NO_ID.test(line));
  if (mounted && differences.length === 0) return { verdict: 'same', why: [] };
  const why = mounted ? differences : said();
  const { findings } = examine(openVolume(ours.image));
  const found = findings.find(({ severity }) => severity === 'damage');
  if (found !== undefined) return { verdict: 'found by repair', why: [found.code, ...why] };
  return { verdict: mounted ? 'DIFFERENT' : 'REPLAYED WHAT LINUX REFUSES', why };
}

async function made(count: number, seed: number): Promise<string[]> {
  const load = new Load(2);
  const out: string[] = [];
  const geometries = [...CRASH_GEOMETRIES, ...PARENT_GEOMETRIES];
  try {
    for (let i = 0; i < count; i++) {
      const geometry = geometries[(seed + i) % geometries.length];
      const path = join(tmpdir(), `made-${geometry.name}.img`);
      const order = { geometry, seed: seed * 100 + i, milliseconds: 400, flushlog: i % 2 === 0 };
      await crashImage(path, load, order);
      out.push(path);
    }
  } finally {
    load.close();
  }
  return out;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '8' },
      linux: { type: 'string', default: '1' },
      image: { type: 'string', multiple: true },
      made: { type: 'string', default: '0' },
      only: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const seed = Number(values.seed);
  const end = Date.now() + Number(values.minutes) * 60_000;
  const images = values.image ?? [
    ...DAMAGED_FIXTURES.map(fixture),
    ...(await made(Number(values.made), seed)),
  ];
  const only = new RegExp(values.only);
  const counts: Record<string, number> = {};
  const listed: Record<string, number> = {};
  const count = (of: Record<string, number>, name: string): void => {
    of[name] = (of[name] ?? 0) + 1;
  };
  let failed = 0;
  const complain = (image: string, what: string, lines: readonly string[]): void => {
    console.log(`${image}: ${what}${lines.map((line) => `\n    ${line}`).join('')}`);
  };
  const next = random(seed);
  let copy = join(tmpdir(), 'copy.img');
  let hangs = 0;
  const logs = images.map((image) => new DamagedLog(image)).filter(({ records }) => records.length > 0);
  const running = logs.map((log) => ({
    log,
    cases: [...damages(log, next)].filter(({ what }) => only.test(what)),
  }));
  // One of each image in turn, in an order of chance, until the time is over.
  for (const { cases } of running) shuffle(cases, next);
  campaign: while (Date.now() < end && running.some(({ cases }) => cases.length > 0))
    for (const { log, cases } of running) {
      const damage = cases.pop();
      if (damage === undefined) continue;
      const overlay = new OverlaySource(log.file);
      if (!damage.apply(overlay, next)) continue;
      count(counts, 'cases');
      const asked = next() / 2 ** 32 < Number(values.linux);
      const since = Date.now();
      if (values.verbose) console.log(`${new Date().toISOString()} ${log.image}: ${damage.what}`);
      try {
        const ours = recoverDamaged(overlay);
        count(counts, ours.kind);
        if (!asked) continue;
        copyImage(log.image, copy);
        const file = FileSource.open(copy, 'r+');
        for (const [offset, bytes] of overlay.pages()) file.write(offset, bytes);
        file.close();
        const { verdict, why } = await compareWithLinux(
          copy,
          formatUuid(viewOf(log.state.device.uuid), 0),
          ours,
          since,
        );
        count(counts, verdict);
        // The file stays in use, and each such mount a process of the kernel's that does not end.
        if (verdict === 'Linux hangs') {
          copy = join(tmpdir(), 'copy.img');
          if (++hangs === MOST_HANGS) break campaign;
        }
        if (!['same', 'both refuse'].includes(verdict))
          count(listed, `${verdict}: ${damage.what}: ${why[0].replace(/\d+/g, 'N')}`);
        const wrong = verdict === 'DIFFERENT' || verdict === 'REPLAYED WHAT LINUX REFUSES';
        if (wrong) failed++;
        if (wrong) complain(log.image, `${damage.what}: ${verdict}`, why);
      } catch (error) {
        failed++;
        complain(log.image, damage.what, [String((error as Error).stack)]);
      }
    }
  for (const { log } of running) log.close();
  rmSync(copy, { force: true });
  for (const [what, n] of Object.entries(listed).sort()) console.log(`${n} ${what}`);
  console.log(JSON.stringify({ ...counts, failed }));
  process.exitCode = failed > 0 ? 1 : 0;
}

function shuffle<T>(list: T[], next: () => number): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
}

if (process.argv[1]?.endsWith('campaign/damaged-log.ts')) await main();
