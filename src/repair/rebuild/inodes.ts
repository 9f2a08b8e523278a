/** Changes to inodes that the verdicts ask for: mappings dropped and restored, flags, counts. */
import { ExtentColumns } from '../../build/fork.js';
import { sealCrc } from '../../format/checksum.js';
import { DIFLAG2, DINODE, FORK_FORMAT } from '../../format/dinode.js';
import { FTYPE, leafSpaceBlock } from '../../format/dir.js';
import { fsblockOf, fsblockOffset, inodeOffset } from '../../format/geometry.js';
import { setU64 } from '../../format/structure.js';
import { type ForkName, forkFormat, walkExtents } from '../../volume/fork.js';
import { readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import type { Judgement } from '../judge/judge.js';
import { standingOn } from '../judge/standing.js';
import { CLAIM } from '../observe/columns.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { salvageBmbt } from './bmbt.js';
import type { LostFound } from './lostfound.js';
import { buildNewFork, forkHolds, placeFork } from './newfork.js';
import type { FreeSpace } from './space.js';

interface Piece {
  offset: number;
  fsblock: number;
  blocks: number;
  unwritten: boolean;
}

/** What is to change in one inode. */
interface Edit {
  /** Ranges of file blocks to unmap, where they map these fsblocks. */
  readonly drop: Record<ForkName, Piece[]>;
  readonly restore: Record<ForkName, Piece[]>;
  /** Blocks of directories and attributes that nobody maps and that say whose they are, as fsblocks. */
  readonly strays: Record<ForkName, number[]>;
  reflink?: boolean;
  nlink?: number;
  /** A fork has to be written again though nothing is dropped: an extent in it cannot be true. */
  readonly rewrite: Set<ForkName>;
  count: boolean;
}

interface Copy {
  readonly ino: number;
  readonly fork: ForkName;
  readonly offset: number;
  readonly fsblock: number;
  readonly blocks: number;
}

export type DuplicatePolicy = 'quarantine' | 'clone' | 'clear';

export class InodeEdits {
  readonly #o: Observation;
  readonly #policy: DuplicatePolicy;
  readonly #edits = new Map<number, Edit>();
  /** Undecided runs whose blocks go to lost+found. */
  readonly #quarantine: { agno: number; start: number; blocks: number }[] = [];
  /** Copies to make before anything changes: an undecided run, claimant by claimant. */
  readonly #copies: Copy[] = [];

  constructor(o: Observation, judgement: Judgement, policy: DuplicatePolicy) {
    this.#o = o;
    this.#policy = policy;
    for (const { run, verdict } of judgement.runs) {
      if (policy === 'quarantine' && verdict.claims.includes('undecided'))
        this.#quarantine.push({ agno: run.agno, start: run.start, blocks: run.blocks });
      run.claims.forEach((c, i) => {
        if (c.slot < 0 || c.info & CLAIM.BMBT) return;
        const lost = verdict.claims[i] === 'corrupt' || verdict.claims[i] === 'undecided';
        if (!lost) return;
        const fsblock = fsblockOf(o.volume.g, run.agno, run.start);
        const piece = { offset: c.offset, fsblock, blocks: run.blocks, unwritten: false };
        if (verdict.claims[i] === 'undecided' && this.#policy === 'clone') {
          // The first claimant keeps the blocks, each other one gets a copy of its own.
          if (verdict.claims.indexOf('undecided') === i) return;
          this.#copies.push({
            ino: c.owner,
            fork: forkOf(c.info),
            offset: c.offset,
            fsblock,
            blocks: run.blocks,
          });
        }
        this.#of(c.owner).drop[forkOf(c.info)].push(piece);
      });
      for (const i of verdict.flagLost) this.#of(run.claims[i].owner).reflink = true;
      for (const r of verdict.restore) {
        const fsblock = fsblockOf(o.volume.g, run.agno, run.start);
        const unwritten = (r.info & CLAIM.UNWRITTEN) !== 0;
        const piece = { offset: r.offset, fsblock, blocks: run.blocks, unwritten };
        this.#of(r.owner).restore[forkOf(r.info)].push(piece);
        if (verdict.refcount >= 2) this.#of(r.owner).reflink = true;
      }
    }
    if (!o.volume.g.features.rmapbt)
      for (const s of strays(o, judgement)) {
        const edit = this.#of(s.ino);
        edit.rewrite.add(s.fork);
        edit.strays[s.fork].push(s.fsblock);
      }
    for (const f of judgement.findings) {
      if (f.ino === undefined) continue;
      if (f.code === 'data-fork.value') this.#of(f.ino).rewrite.add('data');
      else if (f.code === 'attr-fork.value') this.#of(f.ino).rewrite.add('attr');
      else if (f.code.startsWith('bmbt.') || f.code.startsWith('bmdr.'))
        for (const fork of FORKS) this.#of(f.ino).rewrite.add(fork);
      else if (f.code === 'dinode.value' && f.evidence?.field === 'nextents')
        this.#of(f.ino).rewrite.add('data');
      else if (f.code === 'dinode.value' && f.evidence?.field === 'naextents')
        this.#of(f.ino).rewrite.add('attr');
      else if (f.code === 'inode.blocks') this.#of(f.ino).count = true;
      else if (f.code === 'reflink.flag-unneeded') this.#of(f.ino).reflink ??= false;
    }
  }

  /** Sets the link counts that findings call wrong: to be asked for when the directories are right. */
  addLinks(findings: readonly Finding[]): void {
    for (const f of findings)
      if (f.code === 'inode.links' && f.ino !== undefined) this.#of(f.ino).nlink = linksOf(this.#o, f.ino);
  }

  #of(ino: number): Edit {
    let edit = this.#edits.get(ino);
    if (edit === undefined) {
      edit = {
        drop: { data: [], attr: [] },
        restore: { data: [], attr: [] },
        strays: { data: [], attr: [] },
        rewrite: new Set(),
        count: false,
      };
      this.#edits.set(ino, edit);
    }
    return edit;
  }

  /** Whether blocks come into use that are free until the AG's trees say otherwise: copies, lost+found. */
  get copies(): boolean {
    return this.#copies.length > 0 || this.#quarantine.length > 0;
  }

  get size(): number {
    return this.#edits.size;
  }

  /** Writes the changed inodes, and the blocks of their forks, through `volume`. */
  apply(volume: Volume, space: FreeSpace, lostFound: LostFound): void {
    for (const { agno, start, blocks } of this.#quarantine)
      lostFound.addFile(volume, space, `quarantine-ag${agno}-block${start}`, agno, start, blocks);
    lostFound.write(volume, space);
    for (const copy of this.#copies) this.#copy(volume, space, copy);
    for (const [ino, edit] of this.#edits) applyEdit(volume, space, ino, edit);
  }

  #copy(volume: Volume, space: FreeSpace, copy: Copy): void {
    const { g, source } = volume;
    const to = space.take(Math.floor(copy.fsblock / 2 ** g.agblklog), copy.blocks);
    const block = new Uint8Array(g.blocksize);
    for (let i = 0; i < copy.blocks; i++) {
      source.read(fsblockOffset(g, copy.fsblock + i), block);
      source.write(fsblockOffset(g, to[i]), block);
      const piece = { offset: copy.offset + i, fsblock: to[i], blocks: 1, unwritten: false };
      this.#of(copy.ino).restore[copy.fork].push(piece);
    }
  }
}

const FORKS = ['data', 'attr'] as const;

const forkOf = (info: number): ForkName => (info & CLAIM.ATTR ? 'attr' : 'data');

function linksOf(o: Observation, ino: number): number {
  const { table } = o;
  const slot = table.slot(ino);
  if (table.type[slot] !== FTYPE.DIR) return table.entries.count[slot];
  let links = 2;
  for (let s = 0; s < table.heldBy.length; s++)
    if (table.heldBy[s] === slot && table.type[s] === FTYPE.DIR && table.flags[s] & SLOT.USED) links++;
  return links;
}

function applyEdit(volume: Volume, space: FreeSpace, ino: number, edit: Edit): void {
  const { g } = volume;
  const old = readInode(volume, ino, { verify: false });
  const bytes = bytesOf(old.view).slice(old.base, old.base + g.inodesize);
  const v = new DataView(bytes.buffer);
  let blocks = 0;
  for (const fork of FORKS) {
    if (fork === 'attr' && !old.hasAttrFork) continue;
    const format = fork === 'data' ? old.format : old.aformat;
    if (format !== FORK_FORMAT.EXTENTS && format !== FORK_FORMAT.BTREE) continue;
    const own = forkHolds(volume, old, fork);
    const changes = edit.drop[fork].length + edit.restore[fork].length > 0 || edit.rewrite.has(fork);
    if (!changes) {
      blocks += own;
      continue;
    }
    const list = changedFork(volume, ino, fork, edit);
    const size = fork === 'data' ? old.dataSize : old.attrSize;
    const built = buildNewFork(volume, space, { ino, fork, tree: true }, list, size);
    placeFork(bytes, old, fork, built);
    blocks += list.total + built.treeBlocks;
  }
  setU64(v, DINODE.at.nblocks, blocks);
  if (edit.nlink !== undefined) v.setUint32(DINODE.at.nlinkv2, edit.nlink);
  if (edit.reflink !== undefined) {
    const flags = v.getUint32(DINODE.at.flags2 + 4);
    v.setUint32(
      DINODE.at.flags2 + 4,
      (edit.reflink ? flags | DIFLAG2.REFLINK : flags & ~DIFLAG2.REFLINK) >>> 0,
    );
  }
  sealCrc(bytes, DINODE.at.crc);
  volume.source.write(inodeOffset(g, ino), bytes);
}

/** Blocks read for what they say of themselves. */
const MAX_STRAYS = 100_000;

/** Blocks nobody claims that verify as an inode's directory or attribute blocks. */
function strays(o: Observation, judgement: Judgement): { ino: number; fork: ForkName; fsblock: number }[] {
  const { volume, table } = o;
  const { g } = volume;
  const out: { ino: number; fork: ForkName; fsblock: number }[] = [];
  let read = 0;
  for (const { run } of judgement.runs) {
    if (run.claims.length > 0 || run.freeByStart || run.freeBySize || !run.trust.free) continue;
    for (let b = 0; b < run.blocks && read < MAX_STRAYS; b++, read++) {
      const standing = standingOn(volume, run.agno, run.start + b);
      const slot = standing?.owner === undefined ? -1 : table.slot(standing.owner);
      if (standing?.owner === undefined || slot < 0 || (table.flags[slot] & SLOT.USED) === 0) continue;
      const ofDir = standing.what === 'dir' && table.type[slot] === FTYPE.DIR;
      if (!ofDir && standing.what !== 'attr') continue;
      // A directory block can be several blocks long.
      const blocks = ofDir ? Math.min(g.dirblkfsbs, run.blocks - b) : 1;
      for (let i = 0; i < blocks; i++)
        out.push({
          ino: standing.owner,
          fork: ofDir ? 'data' : 'attr',
          fsblock: fsblockOf(g, run.agno, run.start + b + i),
        });
      b += blocks - 1;
    }
  }
  return out;
}

/** A fork's extents with the dropped ranges out and the restored ones in, in file order. */
function changedFork(volume: Volume, ino: number, fork: ForkName, edit: Edit): ExtentColumns {
  const kept: Piece[] = [];
  const drops = edit.drop[fork];
  const inode = readInode(volume, ino, { verify: false });
  const mayBeUnwritten = fork === 'data' && inode.isRegular;
  const keep = (offset: number, fsblock: number, blocks: number, flag: boolean): void => {
    const unwritten = flag && mayBeUnwritten;
    let pieces: Piece[] = [{ offset, fsblock, blocks, unwritten }];
    for (const d of drops) pieces = pieces.flatMap((p) => without(p, d.offset, d.blocks));
    kept.push(...pieces);
  };
  if (forkFormat(inode, fork) === FORK_FORMAT.BTREE && edit.rewrite.has(fork))
    for (const e of salvageBmbt(volume, inode, fork)) keep(e.offset, e.fsblock, e.blocks, e.unwritten);
  else walkExtents(volume, inode, fork, keep, () => {});
  // What the file maps and keeps goes before what was lost: a range is never mapped twice.
  const restored: Piece[] = [];
  for (const r of edit.restore[fork]) {
    let pieces: Piece[] = [r];
    for (const k of [...kept, ...restored]) pieces = pieces.flatMap((p) => without(p, k.offset, k.blocks));
    restored.push(...pieces);
  }
  // A damaged bmbt held some that looked like nobody's.
  const strays = new Set(edit.strays[fork]);
  if (strays.size > 0)
    for (const p of [...kept, ...restored]) for (let b = 0; b < p.blocks; b++) strays.delete(p.fsblock + b);
  // Where a block of its own was in the fork is not told: behind all others it is as good.
  let end = 0;
  const { g } = volume;
  const limit = inode.isDir && fork === 'data' ? leafSpaceBlock(g) : Number.POSITIVE_INFINITY;
  for (const k of [...kept, ...restored]) if (k.offset < limit) end = Math.max(end, k.offset + k.blocks);
  const step = limit === Number.POSITIVE_INFINITY ? 1 : g.dirblkfsbs;
  end = Math.ceil(end / step) * step;
  for (const fsblock of strays) restored.push({ offset: end++, fsblock, blocks: 1, unwritten: false });
  const list = new ExtentColumns();
  for (const p of [...kept, ...restored].sort((a, b) => a.offset - b.offset))
    list.add(p.offset, p.fsblock, p.blocks, p.unwritten);
  return list;
}

/** What is left of an extent without the file blocks [offset, offset + blocks). */
function without(p: Piece, offset: number, blocks: number): Piece[] {
  const end = offset + blocks;
  const pEnd = p.offset + p.blocks;
  if (end <= p.offset || offset >= pEnd) return [p];
  const out: Piece[] = [];
  if (offset > p.offset) out.push({ ...p, blocks: offset - p.offset });
  if (end < pEnd) {
    const skip = end - p.offset;
    out.push({ ...p, offset: end, fsblock: p.fsblock + skip, blocks: pEnd - end });
  }
  return out;
}
