/** What a report holds, as JSON in its page: made by `gather`, read by the code in the browser. */
import type { Finding } from '../repair/finding.js';

export interface UseSum {
  readonly name: string;
  readonly about: string;
  readonly blocks: number;
}

export interface AgReport {
  readonly length: number;
  readonly freeblks: number;
  readonly longest: number;
  readonly inodes: number;
  readonly freeInodes: number;
  /** Its runs, packed and in base64: see runs.ts. */
  readonly runs: string;
}

/** How many there are of each size: bar i counts sizes 2^i to 2^(i+1) - 1. */
export interface Histogram {
  readonly counts: readonly number[];
  /** What they weigh in all, where that is another figure: blocks. */
  readonly blocks: readonly number[];
  readonly total: number;
  /** Sum of all sizes. */
  readonly sum: number;
  readonly max: number;
  readonly median: number;
}

export interface SharedOwner {
  readonly ino: number;
  readonly path?: string;
  /** File block at which the run, or the part of it that is mapped, begins. */
  readonly offset: number;
  readonly blocks: number;
}

export interface SharedRun {
  readonly agno: number;
  readonly agbno: number;
  readonly blocks: number;
  readonly owners: number;
  /** The first of them. */
  readonly by: readonly SharedOwner[];
}

export interface DirectoryUse {
  readonly path: string;
  readonly total: number;
  readonly exclusive: number;
  readonly shared: number;
}

export interface IntentRow {
  readonly lsn: string;
  readonly type: string;
  readonly agno: number | null;
  readonly agbno: number | null;
  readonly blocks: number | null;
  readonly ino: number | null;
  readonly detail: string;
}

export interface LogReport {
  readonly state: 'clean' | 'dirty' | 'damaged';
  /** One sentence: what it is, and what this page shows because of it. */
  readonly says: string;
  readonly properties: readonly (readonly [property: string, value: string | number])[];
  readonly intents: readonly IntentRow[];
  readonly moreIntents: number;
}

export interface ReportedFinding extends Omit<Finding, 'evidence'> {
  readonly evidence?: Finding['evidence'] & { moreClaims?: number; moreRmap?: number };
}

export interface FindingsReport {
  readonly damage: number;
  readonly notes: number;
  readonly summary: readonly {
    readonly code: string;
    readonly severity: string;
    readonly count: number;
    readonly about?: string;
  }[];
  readonly list: readonly ReportedFinding[];
}

export interface ReportData {
  readonly tool: string;
  readonly image: string;
  /** When, in ISO form. */
  readonly made: string;
  readonly label: string;
  readonly uuid: string;
  readonly blocksize: number;
  readonly dblocks: number;
  readonly agblocks: number;
  /** Everything else of the geometry, in words. */
  readonly geometry: readonly (readonly [property: string, value: string | number])[];
  /** Free blocks as sb_fdblocks counts them, by what is there and not by the counters. */
  readonly free: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly uses: readonly UseSum[];
  /** What files map of shared blocks: each counted once for each owner. */
  readonly sharedTimesOwners: number;
  /** Blocks of a cell of the maps; 1 where they have every run. */
  readonly perCell: number;
  readonly ags: readonly AgReport[];
  readonly histograms: {
    readonly free: Histogram;
    readonly extents: Histogram;
    readonly perFile: Histogram;
    readonly refcounts: Histogram;
  };
  readonly shared: readonly SharedRun[];
  readonly sharedRuns: number;
  readonly directories: readonly DirectoryUse[];
  readonly moreDirectories: number;
  readonly log: LogReport;
  readonly findings: FindingsReport;
}
