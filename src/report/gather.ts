/** Everything a report shows, gathered and cut to what a page can hold, whatever the size of the image. */
import { DiskUsage } from '../dump/du.js';
import { dumpInfo, INFO } from '../dump/info.js';
import { DU } from '../dump/rows/du.js';
import { USE, USE_NAMES, USES } from '../dump/rows/usage.js';
import { RowCollector, type RowSink } from '../dump/table.js';
import { AGF } from '../format/ag.js';
import { CorruptionError } from '../format/fault.js';
import { type Geometry, INODES_PER_CHUNK } from '../format/geometry.js';
import { OverlaySource } from '../image/overlay.js';
import type { Source } from '../image/source.js';
import { examineByThreads, summarize } from '../repair/examine.js';
import { CODES, type Finding } from '../repair/finding.js';
import { CLAIM } from '../repair/observe/columns.js';
import type { Observation } from '../repair/observe/observe.js';
import { restoreSuperblock } from '../repair/prepare.js';
import { openVolume, type Volume } from '../volume/volume.js';
import { agMaps } from './agmaps.js';
import { HistogramBuilder } from './histogram.js';
import { logReport } from './logreport.js';
import type { DirectoryUse, FindingsReport, ReportData, ReportedFinding } from './payload.js';
import { mostShared } from './sharing.js';
import { type Usage, usageOf } from './usage.js';

export interface GatherOptions {
  /** The image's name, for the heading. */
  readonly image: string;
  /** Who made the page: 'xfsimg 0.1.0'. */
  readonly tool: string;
  readonly made: Date;
  /** Told of each phase before it begins. */
  readonly progress?: (phase: string) => void;
}

/** Directories, findings and claims of one finding that are shown. */
const DIRECTORIES = 60;
const FINDINGS = 600;
const FINDINGS_OF_A_CODE = 120;
const EVIDENCE = 16;

/** Throws what opening a filesystem throws, where no copy of its superblock will do. The source is not written to. */
export async function gather(from: Source, options: GatherOptions): Promise<ReportData> {
  const { progress } = options;
  progress?.('the log');
  const overlay = new OverlaySource(from);
  const restored = restoreSuperblock(overlay);
  // Several threads can read the image itself.
  const first = openVolume(restored.length > 0 ? overlay : from);
  const { log, source } = logReport(first);
  const volume = source === first.source ? first : openVolume(source);
  // What is found wrong on the way, repair's observation finds too.
  volume.report = () => {};
  progress?.('structures and claims');
  const { observation, findings } = await examineByThreads(volume);
  progress?.('what blocks are in use for');
  const usage = usageOf(observation);
  progress?.('directories');
  const tree = diskUsage(volume);
  const pathOf = (ino: number): string | undefined => tree?.path(ino);
  const shared = mostShared(observation, usage, pathOf);
  const info = new RowCollector(INFO);
  dumpInfo(volume, info);
  const { g } = volume;
  const { perCell, maps } = agMaps(usage);
  return {
    tool: options.tool,
    image: options.image,
    made: options.made.toISOString(),
    label: String(info.rows.find((r) => r.property === 'label')?.value ?? ''),
    uuid: g.uuid,
    blocksize: g.blocksize,
    dblocks: g.dblocks,
    agblocks: g.agblocks,
    geometry: info.rows.map((r) => [String(r.property), r.value as string | number] as const),
    free: freeBlocks(usage, g),
    inodes: observation.ags.reduce((n, ag) => n + ag.inodes, 0),
    freeInodes: observation.ags.reduce((n, ag) => n + ag.freeInodes, 0),
    uses: USE_NAMES.map((name, i) => ({ name, about: USES[name], blocks: usage.sums[i] })),
    sharedTimesOwners: usage.sharedTimesOwners,
    perCell,
    ags: observation.ags.map((ag, i) => ({
      length: ag.length,
      freeblks: ag.agf.getUint32(AGF.at.freeblks),
      longest: ag.agf.getUint32(AGF.at.longest),
      inodes: ag.inodes,
      freeInodes: ag.freeInodes,
      runs: maps[i],
    })),
    histograms: histograms(observation),
    shared: shared.runs,
    sharedRuns: shared.count,
    ...directories(tree, g.rootino),
    log,
    findings: findingsReport([...restored, ...findings]),
  };
}

/** Free lists and the free-space and rmap btrees but for their roots are free, too: they grow out of free space. */
function freeBlocks({ sums }: Usage, { agcount, features }: Geometry): number {
  const roots = agcount * (features.rmapbt ? 3 : 2);
  const blocks = (['free', 'agfl', 'bnobt', 'cntbt', 'rmapbt'] as const).reduce(
    (n, use) => n + sums[USE[use]],
    0,
  );
  return Math.max(0, blocks - roots);
}

/** Use by directory; undefined where the tree has no root that can be read. */
function diskUsage(volume: Volume): DiskUsage | undefined {
  try {
    return new DiskUsage(volume);
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    return undefined;
  }
}

/** Keeps the directories that would free most. */
class LargestDirectories implements RowSink {
  readonly num = new Float64Array(DU.columns.length);
  readonly text: (string | null)[] = DU.columns.map(() => null);
  readonly any = [];
  count = 0;
  kept: DirectoryUse[] = [];

  emit(): void {
    const { at } = DU;
    // What holds no data, and no shared data, frees nothing.
    if (this.num[at.total] === 0 && this.text[at.path] !== '/') return;
    this.count++;
    this.kept.push({
      path: this.text[at.path] ?? '',
      total: this.num[at.total],
      exclusive: this.num[at.exclusive],
      shared: this.num[at.shared],
    });
    if (this.kept.length >= DIRECTORIES * 8) this.cut();
  }

  cut(): void {
    this.kept.sort((a, b) => b.exclusive - a.exclusive || b.total - a.total || (a.path < b.path ? -1 : 1));
    this.kept.length = Math.min(this.kept.length, DIRECTORIES);
  }
}

function directories(
  tree: DiskUsage | undefined,
  rootino: number,
): Pick<ReportData, 'directories' | 'moreDirectories'> {
  const largest = new LargestDirectories();
  tree?.emit(largest, tree.node(rootino), { depth: Number.POSITIVE_INFINITY, files: false });
  largest.cut();
  return { directories: largest.kept, moreDirectories: largest.count - largest.kept.length };
}

function histograms({ ags, table }: Observation): ReportData['histograms'] {
  const free = new HistogramBuilder();
  const extents = new HistogramBuilder();
  const perFile = new HistogramBuilder();
  const refcounts = new HistogramBuilder();
  const ofFile = new Uint32Array(table.chunks * INODES_PER_CHUNK);
  for (const { byStart, claims, shared } of ags) {
    for (let i = 0; i < byStart.count; i++) free.add(byStart.blocks[i]);
    for (let i = 0; i < shared.count; i++) refcounts.add(shared.value[i], 1, shared.blocks[i]);
    for (let i = 0; i < claims.count; i++) {
      if ((claims.info[i] & (CLAIM.DATA | CLAIM.BMBT)) !== CLAIM.DATA) continue;
      extents.add(claims.blocks[i]);
      ofFile[claims.owner[i]]++;
    }
  }
  for (const count of ofFile) if (count > 0) perFile.add(count, 1, 0);
  return {
    free: free.finish(),
    extents: extents.finish(),
    perFile: perFile.finish(),
    refcounts: refcounts.finish(),
  };
}

/** Damage before notes; of each code the first ones, so that none crowds out another. */
function findingsReport(findings: readonly Finding[]): FindingsReport {
  const damage = findings.filter((f) => f.severity === 'damage').length;
  const seen = new Map<string, number>();
  const list: ReportedFinding[] = [];
  for (const severity of ['damage', 'note'] as const)
    for (const finding of findings) {
      if (finding.severity !== severity || list.length >= FINDINGS) continue;
      const count = seen.get(finding.code) ?? 0;
      seen.set(finding.code, count + 1);
      if (count < (severity === 'note' ? EVIDENCE : FINDINGS_OF_A_CODE)) list.push(reported(finding));
    }
  const summary = summarize(findings).map((s) => ({ ...s, about: CODES[s.code as keyof typeof CODES] }));
  return { damage, notes: findings.length - damage, summary, list };
}

function reported(finding: Finding): ReportedFinding {
  const { evidence } = finding;
  // The path of a note is found when it is asked for.
  const plain = { ...finding, path: finding.path };
  if (evidence === undefined) return plain;
  const { claims, rmap } = evidence;
  return {
    ...plain,
    evidence: {
      ...evidence,
      ...(claims && claims.length > EVIDENCE
        ? { claims: claims.slice(0, EVIDENCE), moreClaims: claims.length - EVIDENCE }
        : {}),
      ...(rmap && rmap.length > EVIDENCE
        ? { rmap: rmap.slice(0, EVIDENCE), moreRmap: rmap.length - EVIDENCE }
        : {}),
    },
  };
}
