/**
 * All inodes in disk order: each core verified, each fork's extents entered as claims, each directory's
 * entries counted. One read a chunk, no object an inode but for directories and what looks odd.
 */
import { sameUuid } from '../../format/ag.js';
import { ATTR_FLAG } from '../../format/attr.js';
import { BTREES, LONG_BLOCK, recordAt } from '../../format/btree.js';
import { crcHolds } from '../../format/checksum.js';
import { daHash } from '../../format/da.js';
import {
  attrForkAt,
  attrForkSize,
  DIFLAG,
  DIFLAG2,
  DINODE,
  DINODE_SIZE,
  DINODE64,
  dataForkSize,
  dinodeFlags2,
  dinodeNaextents,
  dinodeNextents,
  FORK_FORMAT,
  S_IF,
  S_IFMT,
  XFS_DINODE_MAGIC,
} from '../../format/dinode.js';
import { FTYPE, ftypeOfMode } from '../../format/dir.js';
import {
  EXTENT_SIZE,
  extentBlocks,
  extentFsblock,
  extentOffset,
  extentUnwritten,
} from '../../format/extent.js';
import { CorruptionError, type Fault, hex, type Report } from '../../format/fault.js';
import {
  agbnoOfAgino,
  aginoOfIno,
  agLength,
  agnoOfIno,
  blockOffset,
  type Geometry,
  INODES_PER_CHUNK,
} from '../../format/geometry.js';
import { getU64 } from '../../format/structure.js';
import { NULLAGINO } from '../../format/superblock.js';
import { attrValue, walkAttrs } from '../../volume/attr.js';
import { walkBlocks } from '../../volume/btree.js';
import { walkDir } from '../../volume/dir.js';
import { checkDirIndex, NameTable } from '../../volume/dirindex.js';
import { type ForkName, forkTree, walkExtents } from '../../volume/fork.js';
import { Inode, verifyInode } from '../../volume/inode.js';
import { readSymlink } from '../../volume/symlink.js';
import type { Volume } from '../../volume/volume.js';
import { CLAIM, type Claims } from './columns.js';
import { type InodeTable, SLOT } from './inodetable.js';

const AT = DINODE.at;

/** What the scan of inodes comes to, besides the table's columns and the claims. */
export interface InodeScan {
  /** next_unlinked of inodes in use without links, by slot. */
  readonly nextUnlinked: Map<number, number>;
  /** '..' of each directory as inode number, by slot. */
  readonly parent: Map<number, number>;
  /** Entries that name no inode in use: directory's slot, inode number, name. */
  readonly dangling: { dir: number; ino: number; name: Uint8Array }[];
  /** Files whose block count differs: slot, stored, found. */
  readonly blockCounts: { slot: number; stored: number; found: number }[];
}

/** Bytes of inode chunks read at once. */
const WINDOW = 512 * 1024;

/** Dangling entries kept for the report; more are only counted by their directories. */
const MAX_DANGLING = 10_000;

/** Scans the inodes of AGs `from` to `to` (exclusive). `claims` has one set for each AG of the filesystem. */
export function scanInodes(
  volume: Volume,
  table: InodeTable,
  claims: readonly Claims[],
  report: Report,
): InodeScan {
  const scan = new Scanner(volume, table, claims, report);
  for (let chunk = 0; chunk < table.chunks; chunk++) scan.chunk(chunk);
  return scan.result;
}

class Scanner {
  readonly result: InodeScan = { nextUnlinked: new Map(), parent: new Map(), dangling: [], blockCounts: [] };
  readonly #volume: Volume;
  readonly #g: Geometry;
  readonly #table: InodeTable;
  readonly #claims: readonly Claims[];
  readonly #report: Report;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** The chunk's inodes one by one: windows on `#bytes` made once. */
  readonly #each: Uint8Array[];
  readonly #agShift: number;
  /** Flags an inode may have without being looked at twice. */
  readonly #plainFlags2: number;
  /** Flags a free inode may have kept. */
  readonly #freeFlags2: number;
  readonly #lengths: Float64Array;
  readonly #names = new NameTable();
  /** Bytes read ahead: see `#readWindow`. */
  readonly #window: Uint8Array;
  #windowAt = 0;
  #windowLength = 0;
  #lastChunk = -1;
  #faulty = false;

  constructor(volume: Volume, table: InodeTable, claims: readonly Claims[], report: Report) {
    const { g } = volume;
    this.#volume = volume;
    this.#g = g;
    this.#table = table;
    this.#claims = claims;
    this.#report = (fault: Fault) => {
      this.#faulty = true;
      report(fault);
    };
    this.#bytes = new Uint8Array(INODES_PER_CHUNK * g.inodesize);
    this.#view = new DataView(this.#bytes.buffer);
    this.#window = new Uint8Array(Math.max(WINDOW, this.#bytes.length));
    this.#each = Array.from({ length: INODES_PER_CHUNK }, (_, i) =>
      this.#bytes.subarray(i * g.inodesize, (i + 1) * g.inodesize),
    );
    this.#agShift = 2 ** g.agblklog;
    this.#plainFlags2 =
      (g.features.reflink ? DIFLAG2.REFLINK : 0) |
      (g.features.bigtime ? DIFLAG2.BIGTIME : 0) |
      (g.features.nrext64 ? DIFLAG2.NREXT64 : 0);
    this.#freeFlags2 = this.#plainFlags2 | DIFLAG2.DAX | (g.features.reflink ? DIFLAG2.COWEXTSIZE : 0);
    this.#lengths = Float64Array.from({ length: g.agcount }, (_, agno) => agLength(g, agno));
  }

  chunk(chunk: number): void {
    const table = this.#table;
    const first = table.chunkIno[chunk];
    const holemask = table.holemask[chunk];
    this.#read(first, holemask);
    const low = table.freeLow[chunk];
    const high = table.freeHigh[chunk];
    for (let i = 0; i < INODES_PER_CHUNK; i++) {
      if ((holemask >>> (i >> 2)) & 1) continue;
      const slot = chunk * INODES_PER_CHUNK + i;
      const base = i * this.#g.inodesize;
      if (((i < 32 ? low : high) >>> (i & 31)) & 1) {
        if (!this.#freeLooksRight(i, first + i))
          verifyInode(
            this.#g,
            new Inode(first + i, this.#view, base, this.#g.inodesize),
            false,
            this.#report,
          );
      } else this.#inode(slot, i, base, first + i);
    }
  }

  /** Reads a chunk's inodes; of a sparse one only the blocks it has. */
  #read(first: number, holemask: number): void {
    const g = this.#g;
    const agino = aginoOfIno(g, first);
    const offset =
      blockOffset(g, agnoOfIno(g, first), agbnoOfAgino(g, agino)) + (agino % g.inopblock) * g.inodesize;
    if (holemask === 0) {
      this.#readWindow(offset);
      return;
    }
    // Four inodes at a time, as the mask has them; a block never spans a border of the mask.
    const four = 4 * g.inodesize;
    for (let k = 0; k < 16; k++)
      if (((holemask >>> k) & 1) === 0)
        this.#volume.source.read(offset + k * four, this.#bytes.subarray(k * four, (k + 1) * four));
  }

  /** Reads a whole chunk, and what follows it in the same call: chunks mostly stand side by side. */
  #readWindow(offset: number): void {
    const { source } = this.#volume;
    const length = this.#bytes.length;
    if (offset < this.#windowAt || offset + length > this.#windowAt + this.#windowLength) {
      // Only where the last chunk stood right before is more than one worth reading.
      const more = offset === this.#lastChunk + length ? WINDOW : length;
      this.#windowLength = Math.max(length, Math.min(more, source.size - offset));
      this.#windowAt = offset;
      source.read(offset, this.#window.subarray(0, this.#windowLength));
    }
    const from = offset - this.#windowAt;
    this.#bytes.set(this.#window.subarray(from, from + length));
    this.#lastChunk = offset;
  }

  #identityHolds(i: number, base: number, ino: number): boolean {
    const v = this.#view;
    return (
      v.getUint16(base) === XFS_DINODE_MAGIC &&
      v.getUint8(base + AT.version) === 3 &&
      getU64(v, base + AT.inumber) === ino &&
      sameUuid(this.#g, this.#each[i], AT.uuid) &&
      crcHolds(this.#each[i], AT.crc)
    );
  }

  /** Fields that are not in use are zero: the old link count, hints without their flag, a free inode's flags. */
  #checkPad(base: number, ino: number): void {
    const v = this.#view;
    const unused = (field: 'onlink' | 'extsize' | 'cowextsize' | 'flags' | 'flags2', value: number): void => {
      if (value !== 0)
        this.#report({ structure: 'dinode', ino, field, value, expected: '0: it is not in use' });
    };
    const flags = v.getUint16(base + AT.flags);
    unused('onlink', v.getUint16(base + AT.onlink));
    if ((flags & (DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT)) === 0)
      unused('extsize', v.getUint32(base + AT.extsize));
    if ((v.getUint32(base + AT.flags2 + 4) & DIFLAG2.COWEXTSIZE) === 0)
      unused('cowextsize', v.getUint32(base + AT.cowextsize));
    if (v.getUint16(base + AT.mode) === 0) {
      unused('flags', flags);
      unused('flags2', getU64(v, base + AT.flags2) - (v.getUint32(base + AT.flags2 + 4) & this.#freeFlags2));
    }
    if (v.getUint32(base + AT.v3_pad) === 0 && v.getUint32(base + AT.v3_pad + 4) === 0) return;
    if (v.getUint32(base + AT.flags2 + 4) & DIFLAG2.NREXT64) return;
    const value = hex(getU64(v, base + AT.v3_pad));
    this.#report({ structure: 'dinode', ino, field: 'v3_pad', value, expected: '0' });
  }

  #freeLooksRight(i: number, ino: number): boolean {
    const base = i * this.#g.inodesize;
    this.#checkPad(base, ino);
    const next = this.#view.getUint32(base + AT.next_unlinked);
    if (next !== NULLAGINO)
      this.#report({
        structure: 'dinode',
        ino,
        field: 'next_unlinked',
        value: next,
        expected: 'null: it is free',
      });
    return this.#view.getUint16(base + AT.mode) === 0 && this.#identityHolds(i, base, ino);
  }

  #inode(slot: number, i: number, base: number, ino: number): void {
    const v = this.#view;
    const g = this.#g;
    const table = this.#table;
    this.#faulty = false;
    let flags = SLOT.USED | (table.flags[slot] & SLOT.SYSTEM);
    if (!this.#looksRight(i, base, ino) && !verifyInode(g, this.#inodeAt(base, ino), true, this.#report))
      flags |= SLOT.DOUBTFUL;
    this.#checkPad(base, ino);
    const flags2 = dinodeFlags2(v, base);
    if (flags2 & DIFLAG2.REFLINK) flags |= SLOT.REFLINK;
    if (flags2 & DIFLAG2.METADATA && g.features.metadir) flags |= SLOT.SYSTEM;
    const mode = v.getUint16(base + AT.mode);
    const type = mode & S_IFMT;
    table.flags[slot] = flags;
    table.type[slot] = ftypeOfMode(mode);
    const nlink = v.getUint32(base + AT.nlinkv2);
    table.nlink[slot] = nlink;
    const next = v.getUint32(base + AT.next_unlinked);
    if (nlink === 0) this.result.nextUnlinked.set(slot, next);
    else if (next !== NULLAGINO)
      this.#report({
        structure: 'dinode',
        ino,
        field: 'next_unlinked',
        value: next,
        expected: 'null: it has names',
      });
    // A core without its magic is noise: what it would claim is nothing to hold against others.
    if (v.getUint16(base) !== XFS_DINODE_MAGIC) return;
    const doubt = flags & SLOT.DOUBTFUL ? CLAIM.DOUBTFUL : 0;
    let found = 0;
    const format = v.getUint8(base + AT.format);
    if (format === FORK_FORMAT.EXTENTS || format === FORK_FORMAT.BTREE) {
      const kind =
        flags & SLOT.SYSTEM
          ? CLAIM.SYSTEM
          : type === S_IF.REG
            ? CLAIM.DATA
            : type === S_IF.DIR
              ? CLAIM.DIR
              : type === S_IF.LNK
                ? CLAIM.SYMLINK
                : 0;
      if (kind !== 0) found += this.#fork(base, ino, slot, 'data', format, kind | doubt);
    }
    if (v.getUint8(base + AT.forkoff) !== 0) {
      const aformat = v.getInt8(base + AT.aformat);
      if (aformat === FORK_FORMAT.EXTENTS || aformat === FORK_FORMAT.BTREE)
        found += this.#fork(base, ino, slot, 'attr', aformat, CLAIM.ATTR | doubt);
    }
    const stored = getU64(v, base + AT.nblocks);
    if (found !== stored && !this.#faulty) {
      table.flags[slot] |= SLOT.BLOCKS_DIFFER;
      this.result.blockCounts.push({ slot, stored, found });
    }
    if (type === S_IF.DIR && !(flags & SLOT.SYSTEM)) this.#directory(this.#inodeAt(base, ino), slot);
    else if (type === S_IF.LNK) this.#whole(() => readSymlink(this.#volume, this.#inodeAt(base, ino)));
    const attrs = v.getUint8(base + AT.forkoff) !== 0;
    if (attrs && (v.getInt8(base + AT.aformat) !== FORK_FORMAT.EXTENTS || dinodeNaextents(v, base) > 0))
      this.#attributes(this.#inodeAt(base, ino));
  }

  /**
   * Whether a core is plainly as it should be: a file with its few extents inside, an ordinary directory. All
   * that `verifyInode` asks is answered by what is asked here; anything else goes there.
   */
  #looksRight(i: number, base: number, ino: number): boolean {
    const v = this.#view;
    const { dblocks, inodesize } = this.#g;
    const type = v.getUint16(base + AT.mode) & S_IFMT;
    const format = v.getUint8(base + AT.format);
    const size = v.getUint32(base + AT.size) * 0x1_0000_0000 + v.getUint32(base + AT.size + 4);
    const whole = inodesize - DINODE_SIZE;
    // Linux makes room for attributes before there are any.
    const forkoff = v.getUint8(base + AT.forkoff) * 8;
    if (forkoff >= whole) return false;
    const room = forkoff === 0 ? whole : forkoff;
    if (v.getInt8(base + AT.aformat) !== FORK_FORMAT.EXTENTS) return false;
    if (v.getUint32(base + AT.flags2) !== 0 || (v.getUint32(base + AT.flags2 + 4) & ~this.#plainFlags2) !== 0)
      return false;
    if (v.getUint16(base + AT.flags) & 0x8000) return false;
    const big = (v.getUint32(base + AT.flags2 + 4) & DIFLAG2.NREXT64) !== 0;
    const nextents = v.getUint32(base + (big ? DINODE64.at.nextents + 4 : AT.nextents));
    if (big ? v.getUint32(base + DINODE64.at.nextents) !== 0 : v.getUint16(base + AT.naextents) !== 0)
      return false;
    if (big && v.getUint32(base + DINODE64.at.naextents) !== 0) return false;
    if (v.getUint32(base + AT.nblocks) !== 0 || v.getUint32(base + AT.nblocks + 4) > dblocks) return false;
    if (type === S_IF.REG) {
      if (format !== FORK_FORMAT.EXTENTS || nextents * EXTENT_SIZE > room || size >= 2 ** 63) return false;
    } else if (type === S_IF.DIR) {
      if (size === 0) return false;
      if (format === FORK_FORMAT.LOCAL ? nextents !== 0 || size > room : format !== FORK_FORMAT.EXTENTS)
        return false;
      if (nextents * EXTENT_SIZE > room || v.getUint32(base + AT.flags2 + 4) & DIFLAG2.REFLINK) return false;
    } else return false;
    return this.#identityHolds(i, base, ino);
  }

  /** Runs a reader that stops at the first fault, and takes the fault. */
  #whole(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#report(error.fault);
    }
  }

  #attributes(inode: Inode): void {
    walkAttrs(
      this.#volume,
      inode,
      (attribute) => {
        if (attribute.flags & ATTR_FLAG.INCOMPLETE)
          this.#report({
            structure: 'attr leaf',
            ino: inode.ino,
            field: 'flags',
            value: attribute.flags,
            expected: 'no attribute that was only being made or removed',
          });
        else if (attribute.valueblk !== undefined)
          this.#whole(() => attrValue(this.#volume, inode, attribute));
      },
      { report: this.#report, incomplete: true },
    );
  }

  #inodeAt(base: number, ino: number): Inode {
    return new Inode(ino, this.#view, base, this.#g.inodesize);
  }

  /** Enters a fork's blocks as claims; returns their number, those of its btree included. */
  #fork(base: number, ino: number, slot: number, fork: ForkName, format: number, info: number): number {
    const v = this.#view;
    if (format === FORK_FORMAT.BTREE) return this.#btreeFork(this.#inodeAt(base, ino), slot, fork, info);
    const data = fork === 'data';
    const n = data ? dinodeNextents(v, base) : dinodeNaextents(v, base);
    if (n === 0) return 0;
    const size = data ? dataForkSize(v, base, this.#g.inodesize) : attrForkSize(v, base, this.#g.inodesize);
    let at = data ? base + DINODE_SIZE : base + attrForkAt(v, base);
    let end = 0;
    let total = 0;
    if (n * EXTENT_SIZE > size) return this.#oddFork(this.#inodeAt(base, ino), slot, fork, info);
    for (let i = 0; i < n; i++, at += EXTENT_SIZE) {
      const offset = extentOffset(v, at);
      const blocks = extentBlocks(v, at);
      const taken = offset < end ? false : this.#claim(slot, v, at, offset, blocks, info);
      if (!taken) {
        this.#oddFork(this.#inodeAt(base, ino), slot, fork, info, i);
        return total;
      }
      end = offset + blocks;
      total += blocks;
    }
    return total;
  }

  /** Enters one extent; false where it cannot be true. */
  #claim(slot: number, v: DataView, at: number, offset: number, blocks: number, info: number): boolean {
    const fsblock = extentFsblock(v, at);
    const agno = Math.floor(fsblock / this.#agShift);
    if (agno >= this.#lengths.length) return false;
    const agbno = fsblock - agno * this.#agShift;
    if (blocks === 0 || agbno + blocks > this.#lengths[agno]) return false;
    const unwritten = extentUnwritten(v, at);
    if (unwritten && info & CLAIM.ATTR) return false;
    this.#claims[agno].add(agbno, blocks, slot, offset, unwritten ? info | CLAIM.UNWRITTEN : info);
    return true;
  }

  /**
   * A fork in which some extent cannot be true: says which, and enters those that can be (the first `skip` are
   * in already).
   */
  #oddFork(inode: Inode, slot: number, fork: ForkName, info: number, skip = 0): number {
    let total = 0;
    let index = 0;
    const g = this.#g;
    walkExtents(
      this.#volume,
      inode,
      fork,
      (offset, fsblock, blocks, unwritten) => {
        if (index++ < skip) return;
        const agno = Math.floor(fsblock / this.#agShift);
        const agbno = fsblock - agno * this.#agShift;
        if (agno >= g.agcount) return;
        this.#claims[agno].add(agbno, blocks, slot, offset, unwritten ? info | CLAIM.UNWRITTEN : info);
        total += blocks;
      },
      this.#report,
    );
    return total;
  }

  /** A fork in btree format: its blocks and its extents in one walk. */
  #btreeFork(inode: Inode, slot: number, fork: ForkName, info: number): number {
    const tree = forkTree(this.#g, inode, fork, this.#report);
    if (tree === undefined) return 0;
    let total = 0;
    let count = 0;
    let end = 0;
    const owner = (info & (CLAIM.ATTR | CLAIM.DOUBTFUL)) | CLAIM.BMBT;
    walkBlocks(
      this.#volume,
      tree,
      (block, level, agno, agbno) => {
        total++;
        this.#claims[agno].add(agbno, 1, slot, 0, owner);
        if (level > 0) return;
        const numrecs = block.getUint16(LONG_BLOCK.at.numrecs);
        for (let i = 0; i < numrecs; i++) {
          const at = recordAt(BTREES.bmbt, i);
          const offset = extentOffset(block, at);
          const blocks = extentBlocks(block, at);
          count++;
          if (offset < end || !this.#claim(slot, block, at, offset, blocks, info)) {
            const field = `recs[${i + 1}]`;
            const value = `offset ${offset}, ${blocks} blocks from fsblock ${extentFsblock(block, at)}`;
            const expected = `blocks inside one AG, at file block ${end} or later`;
            this.#report({ structure: 'bmbt', ino: inode.ino, agno, agbno, field, value, expected });
            continue;
          }
          end = offset + blocks;
          total += blocks;
        }
      },
      this.#report,
    );
    const stored = fork === 'data' ? inode.nextents : inode.naextents;
    if (count !== stored && !this.#faulty)
      this.#report({
        structure: 'dinode',
        ino: inode.ino,
        field: fork === 'data' ? 'nextents' : 'naextents',
        value: stored,
        expected: `${count}, the extents found`,
      });
    return total;
  }

  #directory(inode: Inode, slot: number): void {
    const table = this.#table;
    const { parent, dangling } = this.result;
    // Larger forms have an index of their own, held against the names when all are known.
    const indexed = inode.format !== FORK_FORMAT.LOCAL && inode.nblocks > this.#g.dirblkfsbs;
    const names = this.#names;
    names.clear();
    walkDir(
      this.#volume,
      inode,
      (block, from, to, ino, ftype, address) => {
        const length = to - from;
        if (indexed) names.add(address, daHash(block, from, to));
        if (block[from] === 0x2e && length <= 2 && (length === 1 || block[from + 1] === 0x2e)) {
          if (length === 2) parent.set(slot, ino);
          return;
        }
        const child = table.slot(ino);
        if (child < 0) {
          if (dangling.length < MAX_DANGLING) dangling.push({ dir: slot, ino, name: block.slice(from, to) });
          return;
        }
        if (table.entries[child]++ === 0) {
          table.entryType[child] = ftype;
          table.heldBy[child] = slot;
        } else if (table.entryType[child] !== ftype && ftype !== FTYPE.WHT)
          table.flags[child] |= SLOT.TYPE_CONFLICT;
      },
      { dots: true, report: this.#report },
    );
    if (indexed) this.#whole(() => checkDirIndex(this.#volume, inode, this.#report, this.#report, names));
  }
}
