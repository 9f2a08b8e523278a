/** One damaged image repaired by xfsimg and by xfs_repair, and what each leaves of it. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { OverlaySource } from '../../../src/image/overlay.js';
import { MemorySource, type Source } from '../../../src/image/source.js';
import { type RepairResult, repair } from '../../../src/repair/repair.js';
import { withMount } from '../../support/mount.js';
import { copyImage, run } from '../../support/oracle.js';
import { describeTree } from '../../support/tree.js';
import type { Case } from './cases.js';
import type { BaseImage } from './images.js';
import { dirtyPages, PAGE, shownByLinux } from './tree.js';

/** What a repair left. */
export interface Left {
  readonly mounted: boolean;
  readonly kept: number;
  /** Some of the paths that are not as they were. */
  readonly lost: readonly string[];
  /** What xfs_repair, the mount or the comparison with Linux said against it. */
  readonly complaint?: string;
}

export interface Ours extends Left {
  /** 'failed' is a fault of the program. */
  readonly outcome: 'repaired' | 'nothing found' | 'refused' | 'failed';
  readonly codes: readonly string[];
  readonly error?: string;
  /** xfs_repair -n finds nothing. */
  readonly clean: boolean;
  /** A second run writes nothing. */
  readonly settled: boolean;
  readonly ms: number;
}

export interface Theirs extends Left {
  readonly status: number;
}

const MAX_LOST = 12;
const NOTHING: Left = { mounted: false, kept: 0, lost: [] };

/** A copy of a base image on disk into which damages and repairs are written, and out of which they go again. */
export class Workbench {
  readonly image: BaseImage;
  readonly path: string;
  readonly #fd: number;
  readonly #dirty = new Set<number>();

  constructor(image: BaseImage, path: string) {
    this.image = image;
    this.path = copyImage(image.path, path);
    this.#fd = openSync(path, 'r+');
  }

  write(offset: number, bytes: Uint8Array): void {
    writeSync(this.#fd, bytes, 0, bytes.length, offset);
    for (let p = Math.floor(offset / PAGE); p * PAGE < offset + bytes.length; p++) this.#dirty.add(p);
  }

  /** The image as it is now; pages that others changed are known from here on. */
  read(): { bytes: Buffer; dirty: number[] } {
    const bytes = Buffer.allocUnsafe(this.image.bytes.length);
    for (let at = 0; at < bytes.length; ) at += readSync(this.#fd, bytes, at, bytes.length - at, at);
    const dirty = dirtyPages(this.image.bytes, bytes);
    for (const p of dirty) this.#dirty.add(p);
    return { bytes, dirty };
  }

  restore(): void {
    for (const p of this.#dirty) writeSync(this.#fd, this.image.bytes, p * PAGE, PAGE, p * PAGE);
    this.#dirty.clear();
  }

  close(): void {
    closeSync(this.#fd);
  }
}

interface Said {
  status: number;
  text: string;
}

const spawned = (command: string, args: string[]): Promise<Said> =>
  new Promise((resolve) => {
    const options = { timeout: 300_000, maxBuffer: 1 << 26, env: { ...process.env, LC_ALL: 'C' } };
    execFile(command, args, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 99;
      resolve({ status, text: stderr + stdout });
    });
  });

/** The lines of xfs_repair that say what is wrong. */
const complaints = (text: string): string =>
  text
    .split('\n')
    .filter(
      (line) =>
        line !== '' &&
        !/^(Phase|\s+- |No modify|Exiting|Note - |Cannot get host|Repair may fail|the image and the host)/.test(
          line,
        ),
    )
    .slice(0, 4)
    .join('; ');

/** Judges what stands on the bench: a mount by Linux, path by path. `linux`: read by Linux too. */
function look(bench: Workbench, source: Source, dirty: Iterable<number>, linux: boolean): Left {
  let complaint: string | undefined;
  const { tree } = bench.image;
  const now = tree.of(source, dirty);
  let mounted = false;
  try {
    const byLinux = withMount(bench.path, (root) => (linux ? shownByLinux(describeTree(root)) : undefined), {
      options: 'ro',
    });
    mounted = true;
    if (byLinux !== undefined)
      for (const [path, text] of byLinux)
        if (now.get(path) !== text) complaint ??= `Linux shows ${path} as ${text}, and we ${now.get(path)}`;
  } catch (error) {
    complaint ??= (error as Error).message;
  }
  const lost = tree.lost(now);
  return { mounted, kept: tree.paths.size - lost.length, lost: lost.slice(0, MAX_LOST), complaint };
}

/** A repair; where the log cannot be replayed a second one that drops it. */
function mend(target: Source): { written: number; codes: string[] } {
  const once = (dropLog: boolean): RepairResult => repair(target, { onDuplicate: 'quarantine', dropLog });
  let result: RepairResult;
  try {
    result = once(false);
  } catch (error) {
    if ((error as Error).name !== 'LogError') throw error;
    result = once(true);
  }
  const damage = result.findings.filter((f) => f.severity === 'damage');
  return { written: result.written, codes: [...new Set(damage.map((f) => f.code))] };
}

export interface Scrutiny {
  /** Nothing but our own repair and our own reader: for development. */
  readonly quick: boolean;
  /** Linux reads every path too, and must see what we see. */
  readonly linux: boolean;
}

/** Our repair of one case. */
export async function ours(bench: Workbench, { writes }: Case, { quick, linux }: Scrutiny): Promise<Ours> {
  const overlay = new OverlaySource(bench.image.source);
  for (const { offset, bytes } of writes) overlay.write(offset, bytes);
  const start = performance.now();
  try {
    const { written, codes } = mend(overlay);
    const ms = Math.round(performance.now() - start);
    let settled = true;
    try {
      settled = mend(new OverlaySource(overlay)).written === 0;
    } catch {
      settled = false;
    }
    const outcome = written > 0 ? 'repaired' : 'nothing found';
    const pages = [...overlay.pages()];
    const dirty = pages.map(([offset]) => offset / PAGE);
    if (quick) {
      const { tree } = bench.image;
      const lost = tree.lost(tree.of(overlay, dirty));
      const kept = tree.paths.size - lost.length;
      return { outcome, codes, settled, ms, clean: true, mounted: true, kept, lost: lost.slice(0, MAX_LOST) };
    }
    for (const [offset, bytes] of pages) bench.write(offset, bytes);
    const said = await spawned('xfs_repair', ['-n', '-f', bench.path]);
    const clean = said.status === 0;
    const left = look(bench, overlay, dirty, linux);
    bench.restore();
    const complaint = clean ? left.complaint : complaints(said.text);
    return { outcome, codes, settled, ms, clean, ...left, complaint };
  } catch (error) {
    const { name, message, stack } = error as Error;
    const refused = /^(UnrepairedError|NoSpaceError|UnsupportedError|CorruptionError|LogError)$/.test(name);
    const ms = Math.round(performance.now() - start);
    const outcome = refused ? 'refused' : 'failed';
    bench.restore();
    return {
      outcome,
      codes: [],
      error: refused ? message : stack,
      settled: false,
      ms,
      clean: false,
      ...NOTHING,
    };
  }
}

/** xfs_repair's repair of the same; a log that it refuses is dropped. */
export async function theirs(bench: Workbench, { writes }: Case): Promise<Theirs> {
  for (const { offset, bytes } of writes) bench.write(offset, bytes);
  let said = await spawned('xfs_repair', ['-f', bench.path]);
  if (said.status === 2) said = await spawned('xfs_repair', ['-f', '-L', bench.path]);
  const { bytes, dirty } = bench.read();
  let left: Left = { ...NOTHING, complaint: complaints(said.text) };
  try {
    if (said.status === 0) left = look(bench, new MemorySource(bytes), dirty, false);
  } catch (error) {
    left = { ...NOTHING, complaint: (error as Error).message };
  }
  bench.read();
  bench.restore();
  return { status: said.status, ...left };
}

/** Outcomes of the peer kept from run to run, a line each: they change only with the damage or xfs_repair. */
export class PeerCache {
  readonly #path: string;
  readonly #known = new Map<string, Theirs>();
  readonly #version = run('xfs_repair', ['-V']).stdout.trim();

  constructor(path: string) {
    this.#path = path;
    if (!existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      if (line === '') continue;
      const { key, ...outcome } = JSON.parse(line);
      this.#known.set(key, outcome);
    }
  }

  async get(bench: Workbench, damage: Case): Promise<Theirs> {
    const hash = createHash('sha256').update(`${this.#version} ${bench.image.sha}`);
    for (const { offset, bytes } of damage.writes) hash.update(`${offset}:`).update(bytes);
    const key = hash.digest('hex').slice(0, 32);
    let outcome = this.#known.get(key);
    if (outcome === undefined) {
      outcome = await theirs(bench, damage);
      this.#known.set(key, outcome);
      appendFileSync(this.#path, `${JSON.stringify({ key, ...outcome })}\n`);
    }
    return outcome;
  }
}
