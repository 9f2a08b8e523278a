/**
 * Inode chunks where the inode btrees cannot be believed: what stands on disk in their place, and which of it
 * is no leftover of a chunk that was freed.
 *
 * An inode names itself (magic, number, UUID), so a block of inodes is known for what it is. A chunk that was
 * freed can look the same: what the free-space btree calls free is passed over, and where that cannot be asked a chunk
 * needs a witness: a record of a btree that is damaged elsewhere, an rmap record, or a directory entry.
 */
import { sameUuid } from '../../format/ag.js';
import { RMAP_OWN } from '../../format/btree.js';
import { DINODE, XFS_DINODE_MAGIC } from '../../format/dinode.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
  inoOf,
  isInoInRange,
} from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import type { InodeChunk } from '../../volume/inode.js';
import type { AgLook } from './aglook.js';
import { SLOT } from './inodetable.js';
import type { Observation } from './observe.js';

const AT = DINODE.at;

/** Chunks by AG: those of an AG that is not among them are what its inobt says. */
export type KnownChunks = ReadonlyMap<number, readonly InodeChunk[]>;

/** AGs in which something speaks against what the inobt says. */
function suspects(o: Observation): Set<number> {
  const { table, volume, inodes, log } = o;
  const { g } = volume;
  const out = new Set<number>();
  const add = (ino: number): void => {
    if (isInoInRange(g, ino)) out.add(agnoOfIno(g, ino));
  };
  for (const look of o.ags) {
    const { inobt, finobt, rmapbt } = look.trees;
    if (inobt?.sound !== true || finobt?.sound === false) out.add(look.agno);
    else if (rmapbt?.sound === true && hasOtherChunks(look)) out.add(look.agno);
  }
  for (const fault of log.faults)
    if (fault.structure === 'dinode' && (fault.field === 'magic' || fault.field === 'mode')) add(fault.ino!);
  for (const { ino } of inodes.dangling) add(ino);
  if (table.slot(g.rootino) < 0) add(g.rootino);
  for (let slot = 0; slot < table.entries.count.length; slot++)
    if (table.entries.count[slot] > 0 && (table.flags[slot] & SLOT.USED) === 0) add(table.ino(slot));
  const { finobt } = table;
  for (let i = 0; i < finobt.count; i++) {
    const slot = table.slot(finobt.ino[i]);
    const chunk = slot >>> 6;
    if (slot < 0 || finobt.high[i] !== table.freeHigh[chunk] || finobt.low[i] !== table.freeLow[chunk])
      add(finobt.ino[i]);
  }
  return out;
}

/** Whether the rmap btree gives inodes other blocks than the chunks have. */
function hasOtherChunks({ claims, rmaps }: AgLook): boolean {
  let claimed = 0;
  let recorded = 0;
  for (let i = 0; i < claims.count; i++) if (claims.owner[i] === RMAP_OWN.INODES) claimed += claims.blocks[i];
  for (let i = 0; i < rmaps.count; i++) if (rmaps.owner[i] === RMAP_OWN.INODES) recorded += rmaps.blocks[i];
  return claimed !== recorded;
}

/**
 * The chunks of AGs whose inobt is not to be believed, or undefined where every one is. `before`: what an
 * earlier search found; nothing is returned once a search finds the same again.
 */
export function searchChunks(o: Observation, before: KnownChunks): KnownChunks | undefined {
  const agnos = suspects(o);
  if (agnos.size === 0) return undefined;
  const found = new Map(before);
  let news = false;
  for (const agno of agnos) {
    const now = new Search(o, o.ags[agno]).chunks();
    if (same(now, chunksOf(o, agno))) continue;
    found.set(agno, now);
    news = true;
  }
  return news ? found : undefined;
}

const same = (a: readonly InodeChunk[], b: readonly InodeChunk[]): boolean =>
  a.length === b.length &&
  a.every((c, i) => {
    const d = b[i];
    return (
      c.agino === d.agino && c.holemask === d.holemask && c.freeLow === d.freeLow && c.freeHigh === d.freeHigh
    );
  });

/** The chunks of an AG as the observation has them. */
function chunksOf({ table, volume }: Observation, agno: number): InodeChunk[] {
  const out: InodeChunk[] = [];
  for (let i = table.firstChunk[agno]; i < table.firstChunk[agno + 1]; i++) {
    const masks = { holemask: table.holemask[i], freeHigh: table.freeHigh[i], freeLow: table.freeLow[i] };
    out.push(withCounts({ agino: aginoOfIno(volume.g, table.chunkIno[i]), ...masks }));
  }
  return out;
}

/** Counts follow from the masks; an inode that is not there is called free. */
function withCounts(c: Pick<InodeChunk, 'agino' | 'holemask' | 'freeHigh' | 'freeLow'>): InodeChunk {
  const chunk = { ...c, count: 0, freecount: 0 };
  for (let i = 0; i < INODES_PER_CHUNK; i++) {
    if ((c.holemask >>> (i >> 2)) & 1) continue;
    chunk.count++;
    if (((i < 32 ? c.freeLow : c.freeHigh) >>> (i & 31)) & 1) chunk.freecount++;
  }
  return chunk;
}

/** Bytes read at once. */
const WINDOW = 1 << 20;

/** What an inode on disk says of itself. */
type Core =
  | 'free'
  | 'used'
  /** In use by its mode or its links alone. */
  | 'half';

class Search {
  readonly #o: Observation;
  readonly #g: Geometry;
  readonly #look: AgLook;
  /** What stands at each inode of the AG that names itself. */
  readonly #cores = new Map<number, Core>();
  /** One for all places: an AG in pieces has thousands of them. */
  readonly #window: Uint8Array<ArrayBuffer>;

  constructor(o: Observation, look: AgLook) {
    this.#o = o;
    this.#g = o.volume.g;
    this.#look = look;
    const { blocksize } = this.#g;
    this.#window = new Uint8Array(Math.max(1, Math.floor(WINDOW / blocksize)) * blocksize);
  }

  chunks(): InodeChunk[] {
    const g = this.#g;
    for (const { from, to } of this.#places()) this.#scan(from, to);
    const starts = new Map<number, InodeChunk | undefined>();
    const known = chunksOf(this.#o, this.#look.agno);
    for (const c of known) starts.set(c.agino, c);
    for (const c of this.#finobt()) if (!starts.has(c.agino)) starts.set(c.agino, c);
    const covered = (agino: number): boolean => {
      for (const start of starts.keys()) if (agino >= start && agino < start + INODES_PER_CHUNK) return true;
      return false;
    };
    // Inodes in no chunk on record: chunks begin where they are aligned, or where a run of inodes does.
    const aligned = (g.inoalignmt * g.inopblock) % INODES_PER_CHUNK === 0;
    const loose = [...this.#cores.keys()].sort((a, b) => a - b);
    for (const agino of loose) {
      if (covered(agino)) continue;
      starts.set(aligned ? agino - (agino % INODES_PER_CHUNK) : agino, undefined);
    }
    // The root's chunk is there, whatever has become of it.
    const root = this.#rootAgino();
    if (root !== undefined && !covered(root)) starts.set(root, undefined);
    const out: InodeChunk[] = [];
    let end = 0;
    for (const [agino, record] of [...starts].sort((a, b) => a[0] - b[0])) {
      const chunk = agino < end ? undefined : this.#chunk(agino, record);
      if (chunk === undefined) continue;
      out.push(chunk);
      end = agino + INODES_PER_CHUNK;
    }
    return out;
  }

  /** The root's number within the AG, where it is in this one. */
  #rootAgino(): number | undefined {
    const { rootino } = this.#g;
    return agnoOfIno(this.#g, rootino) === this.#look.agno ? aginoOfIno(this.#g, rootino) : undefined;
  }

  /** The finobt's records of the AG. */
  *#finobt(): Generator<InodeChunk> {
    const { finobt } = this.#o.table;
    for (let i = 0; i < finobt.count; i++) {
      if (agnoOfIno(this.#g, finobt.ino[i]) !== this.#look.agno) continue;
      const agino = aginoOfIno(this.#g, finobt.ino[i]);
      yield withCounts({ agino, holemask: 0, freeHigh: finobt.high[i], freeLow: finobt.low[i] });
    }
  }

  /** Stretches of the AG in which chunks can stand. */
  #places(): { from: number; to: number }[] {
    const { trees, rmaps, byStart, length, claims } = this.#look;
    const out: { from: number; to: number }[] = [];
    // A chunk on record is looked at whatever else is said: one tree can have lost what another has.
    for (let i = 0; i < claims.count; i++)
      if (claims.owner[i] === RMAP_OWN.INODES)
        out.push({ from: claims.start[i], to: claims.start[i] + claims.blocks[i] });
    if (trees.rmapbt?.sound === true) {
      for (const { agino } of this.#finobt()) {
        const from = agbnoOfAgino(this.#g, agino);
        out.push({ from, to: Math.min(length, agbnoOfAgino(this.#g, agino + INODES_PER_CHUNK - 1) + 1) });
      }
      for (let i = 0; i < rmaps.count; i++)
        if (rmaps.owner[i] === RMAP_OWN.INODES)
          out.push({ from: rmaps.start[i], to: rmaps.start[i] + rmaps.blocks[i] });
      return out;
    }
    if (trees.bnobt?.sound !== true) return [{ from: 0, to: length }];
    let at = 0;
    for (let i = 0; i < byStart.count; i++) {
      if (byStart.start[i] > at) out.push({ from: at, to: byStart.start[i] });
      at = Math.max(at, byStart.start[i] + byStart.blocks[i]);
    }
    if (at < length) out.push({ from: at, to: length });
    return out;
  }

  /** Notes the inodes in blocks [from, to). */
  #scan(from: number, to: number): void {
    const g = this.#g;
    const { source } = this.#o.volume;
    const bytes = this.#window;
    const per = bytes.length / g.blocksize;
    const v = new DataView(bytes.buffer);
    for (let block = from; block < to; block += per) {
      const count = Math.min(per, to - block);
      source.read(blockOffset(g, this.#look.agno, block), bytes.subarray(0, count * g.blocksize));
      for (let b = 0; b < count; b++)
        for (let k = 0; k < g.inopblock; k++) {
          const at = b * g.blocksize + k * g.inodesize;
          if (v.getUint16(at) !== XFS_DINODE_MAGIC) continue;
          const agino = (block + b) * g.inopblock + k;
          if (getU64(v, at + AT.inumber) !== inoOf(g, this.#look.agno, agino)) continue;
          if (!sameUuid(g, bytes.subarray(at, at + g.inodesize), AT.uuid)) continue;
          const mode = v.getUint16(at + AT.mode) !== 0;
          const linked = v.getUint32(at + AT.nlinkv2) !== 0;
          this.#cores.set(agino, mode && linked ? 'used' : mode || linked ? 'half' : 'free');
        }
    }
  }

  /** The chunk at `agino`, by what stands there and the record there is of it; undefined where it is none. */
  #chunk(agino: number, record: InodeChunk | undefined): InodeChunk | undefined {
    const g = this.#g;
    // Parts of a sparse chunk that can be there alone.
    const unit = g.features.sparseInodes ? Math.max(4, g.spinoAlign * g.inopblock) : INODES_PER_CHUNK;
    const root = this.#rootAgino() ?? -1;
    const isRoots = root >= agino && root < agino + INODES_PER_CHUNK;
    let holemask = isRoots && record !== undefined ? record.holemask : 0;
    for (let k = 0; k < INODES_PER_CHUNK; k += unit) {
      let there = isRoots && (record !== undefined || Math.floor((root - agino) / unit) * unit === k);
      for (let i = k; i < k + unit && !there; i++) there = this.#cores.has(agino + i);
      if (!there) for (let i = k; i < k + unit; i += 4) holemask |= 1 << (i >> 2);
    }
    if (holemask === 0xffff) return undefined;
    let [freeLow, freeHigh] = [0, 0];
    let used = 0;
    let named = 0;
    for (let i = 0; i < INODES_PER_CHUNK; i++) {
      const hole = ((holemask >>> (i >> 2)) & 1) === 1;
      const entries = this.#entries(agino + i);
      if (!hole && entries > 0) named++;
      // The root, and the two inodes of the realtime device that follow it.
      const isSystem = isRoots && agino + i >= root && agino + i <= root + 2;
      if (isSystem || (!hole && this.#isUsed(agino + i, i, record, entries))) used++;
      else if (i < 32) freeLow = (freeLow | (2 ** i)) >>> 0;
      else freeHigh = (freeHigh | (2 ** (i - 32))) >>> 0;
    }
    const witness = isRoots || record !== undefined || named > 0 || this.#isRecorded(agino);
    if (!witness || (used === 0 && record === undefined && !this.#isRecorded(agino))) return undefined;
    return withCounts({ agino, holemask, freeHigh, freeLow });
  }

  #isUsed(agino: number, i: number, record: InodeChunk | undefined, entries: number): boolean {
    const core = this.#cores.get(agino);
    const recorded =
      record === undefined
        ? undefined
        : (((i < 32 ? record.freeLow : record.freeHigh) >>> (i & 31)) & 1) === 0;
    switch (core) {
      case 'used':
        return true;
      case 'free':
        return false;
      case 'half':
        return entries > 0 || recorded !== false;
      default:
        return entries > 0 || recorded === true;
    }
  }

  /** Directory entries that name an inode, where they are known; the superblock names the root. */
  #entries(agino: number): number {
    const { table, inodes } = this.#o;
    const ino = inoOf(this.#g, this.#look.agno, agino);
    if (ino === this.#g.rootino) return 1;
    const slot = table.slot(ino);
    if (slot >= 0) return table.entries.count[slot];
    return inodes.dangling.some((d) => d.ino === ino) ? 1 : 0;
  }

  /** Whether an rmap record, or its absence from a sound bnobt, speaks for a chunk. */
  #isRecorded(agino: number): boolean {
    const { rmaps, trees } = this.#look;
    if (trees.bnobt?.sound === true || trees.rmapbt?.sound === true) return true;
    const block = agbnoOfAgino(this.#g, agino);
    for (let i = 0; i < rmaps.count; i++)
      if (
        rmaps.owner[i] === RMAP_OWN.INODES &&
        block >= rmaps.start[i] &&
        block < rmaps.start[i] + rmaps.blocks[i]
      )
        return true;
    return false;
  }
}
