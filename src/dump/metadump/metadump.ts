/**
 * A picture of all metadata of a filesystem, in the format of xfs_metadump: headers, btrees, inodes, the
 * blocks of directories, attributes and symbolic links, quota files, and the log. Contents of files are not
 * in it; names and values are obfuscated unless they are to be kept.
 */
import { AGF, AGFL, agflSize } from '../../format/ag.js';
import { AG_BTREE_ROOT, type AgBtreeName, BTREES, type BtreeKind } from '../../format/btree.js';
import { FORK_FORMAT, S_IF } from '../../format/dinode.js';
import { describeFault, type Fault } from '../../format/fault.js';
import {
  agbnoOfAgino,
  blockOffset,
  fsblockOffset,
  type Geometry,
  INODES_PER_CHUNK,
  inoOf,
} from '../../format/geometry.js';
import { nextCycle } from '../../format/log.js';
import { METADUMP_INFO } from '../../format/metadump.js';
import { getU64, viewOf } from '../../format/structure.js';
import { NULLAGBLOCK, SUPERBLOCK } from '../../format/superblock.js';
import { SYMLINK_HDR, SYMLINK_MAXLEN, symlinkSpace, XFS_SYMLINK_MAGIC } from '../../format/symlink.js';
import { clearLog } from '../../journal/clear.js';
import { scanLog } from '../../journal/scan.js';
import { agTree, hasBtree, walkBlocks } from '../../volume/btree.js';
import { type ForkName, findExtent, readExtents, walkForkBlocks } from '../../volume/fork.js';
import { chunkFree, chunkHas, Inode, type InodeChunk, newChunk, readChunk } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import { sealed, type Treatment, treatAttrBlock, treatBtree, treatDirBlock } from './blocks.js';
import { treatInode } from './inode.js';
import { NameCipher } from './names.js';
import { type DumpSink, DumpWriter } from './writer.js';

export interface MetadumpOptions {
  /** Secret the obfuscation is drawn from; undefined: names and values stay. */
  readonly key?: Uint8Array;
  /** Whole blocks, with what stands in bytes no longer in use. */
  readonly fullBlocks?: boolean;
  /** Takes a line for each thing that is damaged, and what became of it. */
  readonly warn?: (line: string) => void;
  /** Told after each AG. */
  readonly progress?: (agno: number, inodes: number) => void;
}

export interface MetadumpResult {
  /** Sectors of 512 bytes. */
  readonly sectors: number;
  readonly inodes: number;
  readonly dirtyLog: boolean;
  /** Things damaged. */
  readonly damaged: number;
}

/** Bytes of the log copied at once. */
const LOG_PIECE = 2 ** 20;
const TREES: readonly AgBtreeName[] = ['bnobt', 'cntbt', 'rmapbt', 'refcountbt', 'inobt', 'finobt'];

/**
 * Writes the metadump of a filesystem to `sink`. What is damaged is copied as it stands where it is surely
 * metadata, and left out where names or contents could be in it that are to be obfuscated.
 *
 * @throws ImageError where the image cannot be read
 */
export function metadump(volume: Volume, sink: DumpSink, options: MetadumpOptions = {}): MetadumpResult {
  return new Metadump(volume, sink, options).run();
}

class Metadump {
  readonly #volume: Volume;
  readonly #g: Geometry;
  readonly #options: MetadumpOptions;
  readonly #treatment: Treatment;
  readonly #writer: DumpWriter;
  readonly #dirtyLog: boolean;
  readonly #cycle: number;
  /** Inodes whose contents are metadata: quota files, and the bitmaps of a realtime device. */
  readonly #internal: ReadonlySet<number>;
  /** Damaged blocks seen, by byte. */
  readonly #seen = new Set<number>();
  #inodes = 0;
  #damaged = 0;

  constructor(volume: Volume, sink: DumpSink, options: MetadumpOptions) {
    this.#volume = volume;
    this.#g = volume.g;
    this.#options = options;
    const cipher = options.key === undefined ? undefined : new NameCipher(options.key);
    this.#treatment = { cipher, zero: options.fullBlocks !== true };
    let dirty = true;
    let cycle = 0;
    try {
      const { clean, head } = scanLog(volume.source, volume.g);
      dirty = !clean;
      cycle = head.cycle;
    } catch (error) {
      this.#complain(`the log cannot be read: ${(error as Error).message}`);
    }
    this.#dirtyLog = dirty;
    this.#cycle = nextCycle(cycle);
    const info =
      METADUMP_INFO.FLAGS |
      (cipher === undefined ? 0 : METADUMP_INFO.OBFUSCATED) |
      (options.fullBlocks === true ? METADUMP_INFO.FULLBLOCKS : 0) |
      (dirty ? METADUMP_INFO.DIRTYLOG : 0);
    this.#writer = new DumpWriter(sink, info);
    const A = SUPERBLOCK.at;
    this.#internal = new Set(
      [A.rbmino, A.rsumino, A.uquotino, A.gquotino, A.pquotino].map((at) => getU64(volume.superblock, at)),
    );
  }

  run(): MetadumpResult {
    for (let agno = 0; agno < this.#g.agcount; agno++) {
      this.#ag(agno);
      this.#options.progress?.(agno, this.#inodes);
    }
    this.#log();
    this.#writer.finish();
    return {
      sectors: this.#writer.sectors,
      inodes: this.#inodes,
      dirtyLog: this.#dirtyLog,
      damaged: this.#damaged,
    };
  }

  #complain(line: string): void {
    this.#damaged++;
    this.#options.warn?.(line);
  }

  #ag(agno: number): void {
    const volume = this.#volume;
    const headers = (['sb', 'agf', 'agi', 'agfl'] as const).map((which) => volume.header(agno, which));
    const [, agf, , agfl] = headers;
    if (this.#treatment.zero) this.#clearFreeSlots(agf, bytesOf(agfl));
    headers.forEach((header, i) => {
      this.#writer.add(blockOffset(this.#g, agno, 0) + i * this.#g.sectsize, bytesOf(header));
    });
    const chunk = newChunk();
    for (const name of TREES) {
      if (!hasBtree(this.#g, name)) continue;
      const kind = BTREES[name];
      const where = AG_BTREE_ROOT[name];
      const header = where.header === 'agf' ? volume.agf(agno) : volume.agi(agno);
      if (header.getUint32(where.level) === 0) {
        this.#complain(`AG ${agno}: the ${name} has no levels`);
        continue;
      }
      walkBlocks(
        volume,
        agTree(volume, agno, name, () => {}),
        (block, level, _agno, agbno) => {
          this.#btreeBlock(kind, blockOffset(this.#g, agno, agbno), block);
          if (name !== 'inobt' || level > 0) return;
          const count = block.getUint16(kind.header.at.numrecs);
          for (let i = 0; i < count; i++) {
            readChunk(this.#g, block, kind.header.size + i * kind.record.size, chunk);
            this.#chunk(agno, chunk);
          }
        },
        (fault) => this.#fault(fault, kind),
      );
    }
  }

  /** Slots of the free list behind its end. */
  #clearFreeSlots(agf: DataView, agfl: Uint8Array): void {
    const slots = agflSize(this.#g.sectsize);
    const first = agf.getUint32(AGF.at.flfirst);
    const count = agf.getUint32(AGF.at.flcount);
    if (first >= slots || count > slots) return;
    sealed(agfl, AGFL.at.crc, () => {
      const v = viewOf(agfl);
      for (let i = count; i < slots; i++) v.setUint32(AGFL.size + ((first + i) % slots) * 4, NULLAGBLOCK);
      return true;
    });
  }

  #btreeBlock(kind: BtreeKind, offset: number, block: DataView): void {
    const b = bytesOf(block).slice();
    treatBtree(kind, b, this.#treatment);
    this.#writer.add(offset, b);
  }

  /** A damaged block of a btree goes in as it is where its magic says that it is one. */
  #fault(fault: Fault, kind: BtreeKind): void {
    this.#complain(describeFault(fault));
    if (fault.agno === undefined || fault.agbno === undefined || fault.agbno === 0) return;
    const offset = blockOffset(this.#g, fault.agno, fault.agbno);
    if (this.#seen.has(offset)) return;
    this.#seen.add(offset);
    const block = new Uint8Array(this.#g.blocksize);
    this.#volume.source.read(offset, block);
    if (this.#treatment.cipher === undefined || viewOf(block).getUint32(0) === kind.magic)
      this.#writer.add(offset, block);
  }

  /** The inodes of a chunk, and what hangs on each. */
  #chunk(agno: number, chunk: InodeChunk): void {
    const g = this.#g;
    const size = g.inodesize;
    const perBlock = Math.min(g.inopblock, INODES_PER_CHUNK);
    const start =
      blockOffset(g, agno, agbnoOfAgino(g, chunk.agino)) + (chunk.agino % g.inopblock) * g.inodesize;
    for (let first = 0; first < INODES_PER_CHUNK; first += perBlock) {
      if (!chunkHas(chunk, first)) continue;
      const offset = start + first * size;
      const b = new Uint8Array(perBlock * size);
      if (offset + b.length > this.#volume.source.size) {
        this.#complain(`AG ${agno}: inode chunk ${chunk.agino} lies past the end of the image`);
        return;
      }
      this.#volume.source.read(offset, b);
      const view = viewOf(b);
      for (let i = 0; i < perBlock; i++) {
        const inode = new Inode(inoOf(g, agno, chunk.agino + first + i), view, i * size, size);
        const free = chunkFree(chunk, first + i);
        this.#inodes++;
        // Before its forks are cleared: they say where its blocks are.
        if (!free) this.#forks(inode);
        if (!treatInode(g, inode, free, this.#treatment))
          this.#complain(`inode ${inode.ino}: cannot be understood`);
      }
      this.#writer.add(offset, b);
    }
  }

  #forks(inode: Inode): void {
    for (const fork of ['data', 'attr'] as const) {
      if (fork === 'attr' && !inode.hasAttrFork) continue;
      const format = fork === 'data' ? inode.format : inode.aformat;
      if (format !== FORK_FORMAT.EXTENTS && format !== FORK_FORMAT.BTREE) continue;
      const kind = BTREES.bmbt;
      walkForkBlocks(
        this.#volume,
        inode,
        fork,
        (agno, agbno, _level, block) => this.#btreeBlock(kind, blockOffset(this.#g, agno, agbno), block),
        (fault) => this.#fault(fault, kind),
      );
      if (fork === 'attr') this.#blocks(inode, fork, 1, treatAttrBlock);
      else if (inode.type === S_IF.DIR)
        this.#blocks(inode, fork, this.#g.dirblkfsbs, (b, t) => treatDirBlock(this.#g, b, t));
      else if (inode.type === S_IF.LNK) this.#symlink(inode);
      else if (this.#internal.has(inode.ino)) this.#blocks(inode, fork, 1, () => true);
    }
  }

  /** All blocks of a fork, each of `unit` filesystem blocks, which need not lie side by side. */
  #blocks(inode: Inode, fork: ForkName, unit: number, treat: (b: Uint8Array, t: Treatment) => boolean): void {
    const g = this.#g;
    const list = readExtents(this.#volume, inode, fork, () => {});
    const b = new Uint8Array(unit * g.blocksize);
    const at = new Float64Array(unit);
    const end = list.count === 0 ? 0 : list.offset[list.count - 1] + list.blocks[list.count - 1];
    for (let k = 0, block = 0; k < list.count; ) {
      block = Math.max(block, Math.floor(list.offset[k] / unit) * unit);
      if (block >= end) break;
      let whole = true;
      for (let i = 0; i < unit; i++) {
        const e = findExtent(list, block + i);
        at[i] = -1;
        if (e < list.count && list.offset[e] <= block + i) {
          at[i] = fsblockOffset(g, list.fsblock[e] + (block + i - list.offset[e]));
          this.#volume.source.read(at[i], b.subarray(i * g.blocksize, (i + 1) * g.blocksize));
        } else whole = false;
      }
      const understood = whole && treat(b, this.#treatment);
      if (!understood)
        this.#complain(`inode ${inode.ino}: block ${block} of its ${fork} fork cannot be understood`);
      if (understood || this.#treatment.cipher === undefined)
        for (let i = 0; i < unit; i++)
          if (at[i] >= 0) this.#writer.add(at[i], b.subarray(i * g.blocksize, (i + 1) * g.blocksize));
      block += unit;
      k = findExtent(list, block);
    }
  }

  /** A target in blocks of its own: the pieces together, since a name may lie across two of them. */
  #symlink(inode: Inode): void {
    const g = this.#g;
    const list = readExtents(this.#volume, inode, 'data', () => {});
    const pieces: { readonly offset: number; readonly b: Uint8Array; readonly bytes: number }[] = [];
    const target = new Uint8Array(Math.min(inode.size, SYMLINK_MAXLEN));
    let done = 0;
    let understood = true;
    for (let i = 0; i < list.count && done < target.length; i++) {
      const most = Math.ceil(SYMLINK_MAXLEN / g.blocksize) + 1;
      const b = new Uint8Array(Math.min(list.blocks[i], most) * g.blocksize);
      const offset = fsblockOffset(g, list.fsblock[i]);
      this.#volume.source.read(offset, b);
      const bytes = Math.min(symlinkSpace(b.length), target.length - done);
      const v = viewOf(b);
      if (v.getUint32(0) !== XFS_SYMLINK_MAGIC || v.getUint32(SYMLINK_HDR.at.bytes) !== bytes)
        understood = false;
      target.set(b.subarray(SYMLINK_HDR.size, SYMLINK_HDR.size + bytes), done);
      pieces.push({ offset, b, bytes });
      done += bytes;
    }
    if (!understood || done < inode.size) {
      this.#complain(`inode ${inode.ino}: its target cannot be understood`);
      if (this.#treatment.cipher !== undefined) return;
    } else this.#treatment.cipher?.applyPath(target);
    done = 0;
    for (const { offset, b, bytes } of pieces) {
      const from = done;
      sealed(b, SYMLINK_HDR.at.crc, () => {
        if (!understood) return false;
        b.set(target.subarray(from, from + bytes), SYMLINK_HDR.size);
        if (this.#treatment.zero) b.fill(0, SYMLINK_HDR.size + bytes);
        return true;
      });
      done += bytes;
      this.#writer.add(offset, b);
    }
  }

  /** A clean log becomes an empty one, for old records hold names; one that is to be replayed stays. */
  #log(): void {
    const g = this.#g;
    const { source } = this.#volume;
    const { cipher, zero } = this.#treatment;
    if (!this.#dirtyLog && (zero || cipher !== undefined)) {
      const into = {
        size: source.size,
        read: (offset: number, b: Uint8Array) => source.read(offset, b),
        write: (offset: number, b: Uint8Array) => this.#writer.add(offset, b),
        sync: () => {},
        close: () => {},
      };
      clearLog(into, g, this.#cycle);
      return;
    }
    const start = fsblockOffset(g, g.logstart);
    const length = g.logblocks * g.blocksize;
    for (let at = 0; at < length; at += LOG_PIECE) {
      const b = new Uint8Array(Math.min(LOG_PIECE, length - at));
      source.read(start + at, b);
      this.#writer.add(start + at, b);
    }
  }
}
