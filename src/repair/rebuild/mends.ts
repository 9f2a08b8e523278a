/**
 * Inodes whose core does not verify, and free ones that do not look free: mended where they stand, before
 * anything is judged by what they say. What cannot be told is freed.
 */
import { sealCrc } from '../../format/checksum.js';
import { DINODE } from '../../format/dinode.js';
import { FTYPE } from '../../format/dir.js';
import { inodeOffset } from '../../format/geometry.js';
import { readInode, verifyInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import { standingOn } from '../judge/standing.js';
import { CLAIM } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { type CoreHints, clearedInode, mendCore } from './core.js';
import { markInode } from './lostfound.js';

/** Findings that say something of an inode's core or of what hangs on its forks. */
const CORE_CODES =
  /^(dinode|data-fork|attr-fork|bmbt|bmdr|short-form-dir|short-form-attr|symlink|inode\.blocks)/;

/** Times one inode is mended before it is taken for beyond help. */
const MAX_MENDS = 3;

/** What is remembered of inodes from one round of a repair to the next. */
export class MendState {
  readonly #tries = new Map<string, number>();
  /** What could not be saved. */
  readonly losses: Finding[] = [];

  /** Counts a try at one thing of an inode; returns how many were made before. */
  tries(ino: number, what: string): number {
    const key = `${what} ${ino}`;
    const before = this.#tries.get(key) ?? 0;
    this.#tries.set(key, before + 1);
    return before;
  }

  lose(code: string, ino: number, path: string | undefined, message: string, action: string): void {
    this.losses.push({ code, severity: 'damage', ino, path, message, action });
  }
}

/** Mends the cores that findings call for. Returns how many inodes were changed. */
export function mendCores(
  o: Observation,
  findings: readonly Finding[],
  volume: Volume,
  state: MendState,
): number {
  const { table } = o;
  const inos = new Map<number, Finding>();
  for (const f of findings)
    if (
      f.ino !== undefined &&
      f.severity === 'damage' &&
      CORE_CODES.test(f.code) &&
      !inos.get(f.ino)?.code.startsWith('dinode.')
    )
      inos.set(f.ino, f);
  if (inos.size === 0) return 0;
  const ends = rmapEnds(o, inos);
  let changed = 0;
  for (const [ino, finding] of inos) {
    const slot = table.slot(ino);
    if (slot < 0) continue;
    const flags = table.flags[slot];
    const root = ino === volume.g.rootino;
    const rmapEnd = ends?.get(ino);
    const named = namedType(table.entries.types[slot]);
    const hints: CoreHints = {
      root,
      ftype: root ? FTYPE.DIR : named || standingType(volume, ino, rmapEnd?.first),
      rmapEnd,
      system: (flags & SLOT.SYSTEM) !== 0,
    };
    if ((flags & SLOT.USED) === 0) changed += mendFree(volume, ino, hints);
    else changed += mendUsed(volume, ino, hints, state, finding);
  }
  if (changed > 0) volume.cache.clear();
  return changed;
}

/** The type directory entries give, where they agree; 0 where they do not, or there is none. */
function namedType(types: number): number {
  const ftype = 31 - Math.clz32(types);
  return types === 1 << ftype && ftype < FTYPE.WHT ? ftype : FTYPE.UNKNOWN;
}

function inodeBytes(volume: Volume, ino: number): Uint8Array {
  const inode = readInode(volume, ino, { verify: false });
  return bytesOf(inode.view).slice(inode.base, inode.base + volume.g.inodesize);
}

function writeInode(volume: Volume, ino: number, bytes: Uint8Array): void {
  sealCrc(bytes, DINODE.at.crc);
  volume.source.write(inodeOffset(volume.g, ino), bytes);
  volume.cache.clear();
}

/**
 * A free inode: one that a directory names and that verifies as in use is in use, and so is one that the superblock
 * names, whatever stands there; any other is made clean.
 */
function mendFree(volume: Volume, ino: number, hints: CoreHints): number {
  const inode = readInode(volume, ino, { verify: false });
  const isNamed = hints.ftype !== 0 && verifyInode(volume.g, inode, true, () => {});
  if (isNamed || hints.root || hints.system) {
    markInode(volume, ino, false);
    return 1;
  }
  writeInode(volume, ino, clearedInode(volume.g, ino, inodeBytes(volume, ino)));
  return 1;
}

function mendUsed(volume: Volume, ino: number, hints: CoreHints, state: MendState, finding: Finding): number {
  const old = inodeBytes(volume, ino);
  const mended = mendCore(volume, ino, old, hints);
  if (mended !== undefined && Buffer.compare(mended.bytes, old) === 0) return 0;
  const tried = state.tries(ino, 'core') >= MAX_MENDS;
  // A core that verifies is left as it is: what it says of its forks is settled with them.
  if (!finding.code.startsWith('dinode.') && (tried || !mended?.borneOut)) return 0;
  if (mended === undefined || tried) {
    clearInode(volume, ino, state, finding);
    return 1;
  }
  if (mended.guessedType)
    state.lose(
      'inode.type',
      ino,
      finding.path,
      `inode ${ino}: its type and permissions are lost; what its forks hold says what it is`,
      'give it to its owner alone: see to its permissions',
    );
  writeInode(volume, ino, mended.bytes);
  return 1;
}

/** Frees an inode of which nothing can be told. */
export function clearInode(volume: Volume, ino: number, state: MendState, finding: Finding): void {
  state.lose(
    'inode.cleared',
    ino,
    finding.path,
    `inode ${ino}: nothing tells what it was`,
    'free it; names that lead to it are removed',
  );
  writeInode(volume, ino, clearedInode(volume.g, ino, inodeBytes(volume, ino)));
  markInode(volume, ino, true);
}

interface RmapEnds {
  data: number;
  attr: number;
  /** Where the first block of the data fork stands. */
  first?: { readonly agno: number; readonly agbno: number };
}

/** The type that the first block of a data fork tells; unknown where nothing stands there that would. */
function standingType(volume: Volume, ino: number, first: RmapEnds['first']): number {
  const standing = first && standingOn(volume, first.agno, first.agbno);
  if (standing?.owner !== ino) return FTYPE.UNKNOWN;
  return standing.what === 'dir' ? FTYPE.DIR : standing.what === 'symlink' ? FTYPE.LNK : FTYPE.UNKNOWN;
}

/** File blocks behind the last one that the rmap btrees give the forks of some inodes. */
function rmapEnds(o: Observation, inos: ReadonlyMap<number, unknown>): Map<number, RmapEnds> | undefined {
  if (!o.volume.g.features.rmapbt) return undefined;
  const out = new Map<number, RmapEnds>();
  for (const ino of inos.keys()) out.set(ino, { data: 0, attr: 0 });
  for (const { agno, rmaps } of o.ags)
    for (let i = 0; i < rmaps.count; i++) {
      const ends = out.get(rmaps.owner[i]);
      if (ends === undefined || rmaps.info[i] & CLAIM.BMBT) continue;
      if (rmaps.offset[i] === 0 && (rmaps.info[i] & CLAIM.ATTR) === 0)
        ends.first = { agno, agbno: rmaps.start[i] };
      const fork = rmaps.info[i] & CLAIM.ATTR ? 'attr' : 'data';
      ends[fork] = Math.max(ends[fork], rmaps.offset[i] + rmaps.blocks[i]);
    }
  return out;
}
