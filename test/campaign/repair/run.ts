/** One damaged image repaired by xfsimg and by xfs_repair, and what each leaves of it. */
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { OverlaySource } from '../../../src/image/overlay.js';
import type { Source } from '../../../src/image/source.js';
import { type RepairResult, repair } from '../../../src/repair/repair.js';
import { withMount } from '../../support/mount.js';
import { copyImage, run } from '../../support/oracle.js';
import { describeTree } from '../../support/tree.js';
import type { Case } from './cases.js';
import type { BaseImage } from './images.js';
import type { Judge } from './judge.js';
import { PAGE, shownByLinux } from './tree.js';

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
  /** The log was dropped: it could not be replayed. */
  readonly dropped?: boolean;
  /** xfs_repair -n finds nothing. */
  readonly clean: boolean;
  /** A second run writes nothing. */
  readonly settled: boolean;
  readonly ms: number;
}

export interface Theirs extends Left {
  readonly status: number;
  /** xfs_repair -n finds nothing after it. */
  readonly clean: boolean;
}

const MAX_LOST = 12;
const NOTHING: Left = { mounted: false, kept: 0, lost: [] };

/** A copy of a base image on disk into which damages and repairs are written, and out of which they go again. */
export class Workbench {
  readonly image: BaseImage;
  readonly path: string;
  readonly #fd: number;
  readonly #dirty = new Set<number>();
  readonly #piece = Buffer.alloc(64 * PAGE);

  constructor(image: BaseImage, path: string) {
    this.image = image;
    this.path = copyImage(image.path, path);
    this.#fd = openSync(path, 'r+');
  }

  write(offset: number, bytes: Uint8Array): void {
    writeSync(this.#fd, bytes, 0, bytes.length, offset);
    for (let p = Math.floor(offset / PAGE); p * PAGE < offset + bytes.length; p++) this.#dirty.add(p);
  }

  /** The image as it is now, whoever changed it, and the pages that differ from the healthy one. */
  read(): { source: Source; dirty: number[] } {
    const source = new OverlaySource(this.image.source);
    const dirty: number[] = [];
    const base = this.image.bytes;
    // A piece that stays in the processor's cache: memory fresh from the system costs more than the reading.
    const piece = this.#piece;
    for (let at = 0; at < base.length; at += piece.length) {
      readSync(this.#fd, piece, 0, piece.length, at);
      if (base.compare(piece, 0, piece.length, at, at + piece.length) === 0) continue;
      for (let p = 0; p < piece.length; p += PAGE) {
        if (base.compare(piece, p, p + PAGE, at + p, at + p + PAGE) === 0) continue;
        source.write(at + p, piece.subarray(p, p + PAGE));
        dirty.push((at + p) / PAGE);
      }
    }
    for (const p of dirty) this.#dirty.add(p);
    return { source, dirty };
  }

  restore(): void {
    for (const p of this.#dirty) writeSync(this.#fd, this.image.bytes, p * PAGE, PAGE, p * PAGE);
    this.#dirty.clear();
  }

  close(): void {
    closeSync(this.#fd);
  }
}

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

/** What the image's tree shows after a repair: all that must be as it was is. */
function look(
  { tree }: BaseImage,
  source: Source,
  dirty: Iterable<number>,
): { kept: number; lost: string[] } {
  const lost = tree.lost(tree.of(source, dirty));
  return { kept: tree.paths.size - lost.length, lost: lost.slice(0, MAX_LOST) };
}

/** Whether Linux, path by path, shows what our own reader does: what it shows otherwise. */
function askLinux(bench: Workbench, source: Source, dirty: Iterable<number>): string | undefined {
  const now = bench.image.tree.of(source, dirty);
  const byLinux = withMount(bench.path, (root) => shownByLinux(describeTree(root)), { options: 'ro' });
  for (const [path, text] of byLinux)
    if (now.get(path) !== text) return `Linux shows ${path} as ${text}, and we ${now.get(path)}`;
  return undefined;
}

/** A repair; where the log cannot be replayed, and nothing was written, a second one that drops it. */
function mend(target: Source): { written: number; codes: string[]; dropped: boolean } {
  const once = (dropLog: boolean): RepairResult => {
    const trial = new OverlaySource(target);
    try {
      const result = repair(trial, { onDuplicate: 'quarantine', dropLog });
      for (const [offset, page] of trial.pages()) target.write(offset, page);
      return result;
    } catch (error) {
      if (trial.dirtyPages > 0) throw new Error('what was refused was written to', { cause: error });
      throw error;
    }
  };
  let result: RepairResult;
  let dropped = false;
  try {
    result = once(false);
  } catch (error) {
    if ((error as Error).name !== 'LogError') throw error;
    dropped = true;
    result = once(true);
  }
  const damage = result.findings.filter((f) => f.severity === 'damage');
  return { written: result.written, codes: [...new Set(damage.map((f) => f.code))], dropped };
}

export interface Scrutiny {
  /** Nothing but our own repair and our own reader: for development. */
  readonly quick: boolean;
  /** Linux reads every path too, and must see what we see. */
  readonly linux: boolean;
}

/** What the oracles say of an image that we repaired. */
interface Verdict {
  readonly clean: boolean;
  readonly mounted: boolean;
  readonly complaint?: string;
}

export interface Lane {
  readonly judge: Judge;
  readonly outcomes: Outcomes;
}

/** Our repair of one case. */
export async function ours(
  bench: Workbench,
  damage: Case,
  lane: Lane | undefined,
  { quick, linux }: Scrutiny,
): Promise<Ours> {
  const { image } = bench;
  const overlay = new OverlaySource(image.source);
  for (const { offset, bytes } of damage.writes) overlay.write(offset, bytes);
  const start = performance.now();
  try {
    const { written, codes, dropped } = mend(overlay);
    const ms = Math.round(performance.now() - start);
    let settled = true;
    try {
      settled = mend(new OverlaySource(overlay)).written === 0;
    } catch {
      settled = false;
    }
    const outcome = written > 0 ? 'repaired' : 'nothing found';
    const pages = [...overlay.pages()].map(([offset, bytes]) => ({ offset, bytes }));
    const dirty = pages.map(({ offset }) => offset / PAGE);
    const mine = { outcome, codes, dropped, settled, ms, ...look(image, overlay, dirty) } as const;
    if (quick || lane === undefined) return { ...mine, clean: true, mounted: true };
    const judged = async (): Promise<Verdict> => {
      for (const { offset, bytes } of pages) bench.write(offset, bytes);
      try {
        const { clean, refusal, text } = await lane.judge.ask('check', bench.path);
        const complaint = clean ? refusal || undefined : complaints(text);
        const differs = linux && refusal === '' ? askLinux(bench, overlay, dirty) : undefined;
        return { clean, mounted: refusal === '', complaint: complaint ?? differs };
      } finally {
        bench.restore();
      }
    };
    // What is the same to the byte is judged once; what Linux is to read is read.
    const key = lane.outcomes.key('ours', image, pages);
    const verdict = linux ? await judged() : await lane.outcomes.get(key, judged);
    return { ...mine, ...verdict };
  } catch (error) {
    const { name, message, stack } = error as Error;
    const refused = /^(UnrepairedError|NoSpaceError|UnsupportedError|CorruptionError|LogError)$/.test(name);
    const ms = Math.round(performance.now() - start);
    const outcome = refused ? 'refused' : 'failed';
    const what = refused ? message : stack;
    return { outcome, codes: [], error: what, settled: false, ms, clean: false, ...NOTHING };
  }
}

/** xfs_repair's repair of the same; a log that it refuses is dropped. */
export async function theirs(bench: Workbench, { writes }: Case, lane: Lane): Promise<Theirs> {
  const repaired = async (): Promise<Theirs> => {
    for (const { offset, bytes } of writes) bench.write(offset, bytes);
    const { status, text, clean, refusal } = await lane.judge.ask('mend', bench.path);
    const { source, dirty } = bench.read();
    bench.restore();
    const nothing = { status, clean: false, ...NOTHING, complaint: complaints(text) };
    if (status !== 0) return nothing;
    try {
      const left = look(bench.image, source, dirty);
      return { status, clean, mounted: refusal === '', ...left, complaint: refusal || undefined };
    } catch (error) {
      return { ...nothing, complaint: (error as Error).message };
    }
  };
  return lane.outcomes.get(lane.outcomes.key('theirs', bench.image, writes), repaired);
}

/** What the peer and the oracles did and said, kept from run to run, a line each. */
export class Outcomes {
  readonly #path: string;
  readonly #known = new Map<string, unknown>();
  readonly #version = run('xfs_repair', ['-V']).stdout.trim();

  constructor(path: string) {
    this.#path = path;
    if (!existsSync(path)) return;
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      if (line === '') continue;
      const { key, outcome } = JSON.parse(line);
      this.#known.set(key, outcome);
    }
  }

  /** They change only with the image's bytes and xfs_repair. */
  key(what: string, image: BaseImage, writes: Case['writes']): string {
    const hash = createHash('sha256').update(`${what} ${this.#version} ${image.sha}`);
    for (const { offset, bytes } of writes) hash.update(`${offset}:`).update(bytes);
    return hash.digest('hex').slice(0, 32);
  }

  async get<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#known.get(key);
    if (known !== undefined) return known as T;
    const outcome = await make();
    this.#known.set(key, outcome);
    appendFileSync(this.#path, `${JSON.stringify({ key, outcome })}\n`);
    return outcome;
  }
}
