/** `repair -n`: observe everything, judge it, and write nothing. */
import { availableParallelism } from 'node:os';
import { getU64 } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Volume } from '../volume/volume.js';
import type { Finding } from './finding.js';
import { type Judgement, judge } from './judge/judge.js';
import { type Observation, observe, observeByThreads, type Progress } from './observe/observe.js';

export interface Examination {
  readonly observation: Observation;
  readonly judgement: Judgement;
  readonly findings: readonly Finding[];
}

/** Examines a filesystem whose log has nothing to replay. */
export function examine(volume: Volume, progress?: Progress): Examination {
  return examined(observe(volume, progress), progress);
}

/** The same by several threads, where that pays; the event loop turns in between. The findings are the same. */
export async function examineByThreads(
  volume: Volume,
  progress?: Progress,
  threads = threadsFor(volume),
  stretch?: number,
): Promise<Examination> {
  return examined(await observeByThreads(volume, threads, progress, stretch), progress);
}

/** Inodes that keep a thread busy for longer than it takes to start one, and V8 to compile everything again. */
const INODES_PER_THREAD = 300_000;
const MAX_THREADS = 8;

function threadsFor(volume: Volume): number {
  const inodes = getU64(volume.superblock, SUPERBLOCK.at.icount);
  const worth = Math.max(1, Math.floor(inodes / INODES_PER_THREAD));
  return Math.min(worth, availableParallelism(), MAX_THREADS);
}

function examined(observation: Observation, progress: Progress | undefined): Examination {
  const judgement = judge(observation, progress);
  return { observation, judgement, findings: judgement.findings };
}

/** Findings counted by code, damage first, the most frequent first. */
export function summarize(findings: readonly Finding[]): { code: string; severity: string; count: number }[] {
  const counts = new Map<string, { code: string; severity: string; count: number }>();
  for (const { code, severity } of findings) {
    const known = counts.get(code);
    if (known === undefined) counts.set(code, { code, severity, count: 1 });
    else known.count++;
  }
  return [...counts.values()].sort(
    (a, b) => a.severity.localeCompare(b.severity) || b.count - a.count || a.code.localeCompare(b.code),
  );
}
