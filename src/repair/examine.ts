/** `repair -n`: observe everything, judge it, and write nothing. */
import type { Volume } from '../volume/volume.js';
import type { Finding } from './finding.js';
import { type Judgement, judge } from './judge/judge.js';
import { type Observation, observe } from './observe/observe.js';

export interface Examination {
  readonly observation: Observation;
  readonly judgement: Judgement;
  readonly findings: readonly Finding[];
}

/** Examines a filesystem whose log has nothing to replay. `progress` is told of each phase. */
export function examine(volume: Volume, progress?: (phase: string, agno: number) => void): Examination {
  const observation = observe(volume, progress);
  const judgement = judge(observation);
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
