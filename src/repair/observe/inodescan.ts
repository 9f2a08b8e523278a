/**
 * All inodes in disk order: each core verified, each fork's extents entered as claims, each directory's
 * entries counted. No object an inode but for directories and what looks odd.
 */

import { crcHolds } from '../../format/checksum.js';
import {
  DIFLAG,
  DIFLAG2,
  DINODE,
  DINODE_SIZE,
  DINODE64,
  dinodeFlags2,
  dinodeNaextents,
  dinodeNextents,
  FORK_FORMAT,
  S_IF,
  S_IFMT,
  XFS_DINODE_MAGIC,
} from '../../format/dinode.js';
import { ftypeOfMode } from '../../format/dir.js';
import { EXTENT_SIZE } from '../../format/extent.js';
import { hex } from '../../format/fault.js';
import { type Geometry, INODES_PER_CHUNK } from '../../format/geometry.js';
import { compareLsnAt, type Lsn } from '../../format/log.js';
import { getU64, viewOf } from '../../format/structure.js';
import { NULLAGINO } from '../../format/superblock.js';
import { Inode, verifyInode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import { rtInodes } from '../pointers.js';
import { ChunkReader } from './chunkreader.js';
import { CLAIM } from './columns.js';
import { Contents } from './contents.js';
import type { FaultLog } from './faultlog.js';
import { ForkClaims } from './forkclaims.js';
import { type EntryColumns, type InodeTable, SLOT } from './inodetable.js';
import type { ScanPart } from './scanpart.js';

const AT = DINODE.at;

/** Scans stretches of chunks: columns of the table are filled, all else goes to `part`. */
/** Flags that any inode may have, with nothing else to be checked. */
const PLAIN_FLAGS =
  DIFLAG.PREALLOC |
  DIFLAG.IMMUTABLE |
  DIFLAG.APPEND |
  DIFLAG.SYNC |
  DIFLAG.NOATIME |
  DIFLAG.NODUMP |
  DIFLAG.NODEFRAG |
  DIFLAG.FILESTREAM;

export class InodeScanner {
  readonly #g: Geometry;
  readonly #table: InodeTable;
  readonly #chunk: ChunkReader;
  readonly #part: ScanPart;
  readonly #log: FaultLog;
  readonly #forks: ForkClaims;
  readonly #contents: Contents;
  readonly #uuid: DataView;
  readonly #head: Lsn | undefined;
  /** The checksums of the chunk's inodes are known to be right. */
  #summed = false;
  /** Flags an inode may have without being looked at twice. */
  readonly #plainFlags2: number;
  /** Flags a free inode may have kept. */
  readonly #freeFlags2: number;

  constructor(
    volume: Volume,
    table: InodeTable,
    entries: EntryColumns,
    part: ScanPart,
    reader = new ChunkReader(volume),
  ) {
    const { g } = volume;
    this.#g = g;
    this.#table = table;
    this.#part = part;
    this.#log = part.log;
    this.#chunk = reader;
    this.#forks = new ForkClaims(volume, part.claims, part.log);
    this.#contents = new Contents(volume, table, entries, part);
    this.#uuid = viewOf(Uint8Array.from(g.metaUuidBytes));
    this.#head = g.head;
    this.#plainFlags2 =
      (g.features.reflink ? DIFLAG2.REFLINK : 0) |
      (g.features.bigtime ? DIFLAG2.BIGTIME : 0) |
      (g.features.nrext64 ? DIFLAG2.NREXT64 : 0);
    this.#freeFlags2 = this.#plainFlags2 | DIFLAG2.DAX | (g.features.reflink ? DIFLAG2.COWEXTSIZE : 0);
  }

  chunk(chunk: number): void {
    const table = this.#table;
    const { inodesize } = this.#g;
    const first = table.chunkIno[chunk];
    const holemask = table.holemask[chunk];
    const start = this.#chunk.read(first, holemask);
    // Where all hold together none is asked for its own.
    this.#summed = holemask === 0 && this.#chunk.holds(start);
    const low = table.freeLow[chunk];
    const high = table.freeHigh[chunk];
    for (let i = 0, base = start; i < INODES_PER_CHUNK; i++, base += inodesize) {
      if ((holemask >>> (i >> 2)) & 1) continue;
      if (((i < 32 ? low : high) >>> (i & 31)) & 1) this.#free(base, first + i);
      else this.#inode(chunk * INODES_PER_CHUNK + i, base, first + i);
    }
  }

  #identityHolds(base: number, ino: number): boolean {
    const v = this.#chunk.view;
    const uuid = this.#uuid;
    const at = base + AT.uuid;
    return (
      v.getUint16(base) === XFS_DINODE_MAGIC &&
      v.getUint8(base + AT.version) === 3 &&
      (this.#head === undefined || compareLsnAt(v, base + AT.lsn, this.#head) <= 0) &&
      getU64(v, base + AT.inumber) === ino &&
      v.getUint32(at) === uuid.getUint32(0) &&
      v.getUint32(at + 4) === uuid.getUint32(4) &&
      v.getUint32(at + 8) === uuid.getUint32(8) &&
      v.getUint32(at + 12) === uuid.getUint32(12) &&
      (this.#summed || crcHolds(this.#chunk.bytes.subarray(base, base + this.#g.inodesize), AT.crc))
    );
  }

  /** Fields that are not in use are zero: the old link count, hints without their flag, a free inode's flags. */
  #checkPad(base: number, ino: number): void {
    const v = this.#chunk.view;
    const unused = (field: 'onlink' | 'extsize' | 'cowextsize' | 'flags' | 'flags2', value: number): void => {
      if (value !== 0)
        this.#log.report({ structure: 'dinode', ino, field, value, expected: '0: it is not in use' });
    };
    const flags = v.getUint16(base + AT.flags);
    unused('onlink', v.getUint16(base + AT.onlink));
    // Linux clears the flags of an inode it frees, and leaves the hints.
    if (v.getUint16(base + AT.mode) !== 0) {
      if ((flags & (DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT)) === 0)
        unused('extsize', v.getUint32(base + AT.extsize));
      if ((v.getUint32(base + AT.flags2 + 4) & DIFLAG2.COWEXTSIZE) === 0)
        unused('cowextsize', v.getUint32(base + AT.cowextsize));
    } else {
      unused('flags', flags);
      unused('flags2', getU64(v, base + AT.flags2) - (v.getUint32(base + AT.flags2 + 4) & this.#freeFlags2));
    }
    if (v.getUint32(base + AT.v3_pad) === 0 && v.getUint32(base + AT.v3_pad + 4) === 0) return;
    if (v.getUint32(base + AT.flags2 + 4) & DIFLAG2.NREXT64) return;
    const value = hex(getU64(v, base + AT.v3_pad));
    this.#log.report({ structure: 'dinode', ino, field: 'v3_pad', value, expected: '0' });
  }

  /** Inodes that the superblock names: files of no size with a link each, those of the realtime device empty. */
  #checkSystem(base: number, ino: number, isSystem: boolean): void {
    const v = this.#chunk.view;
    const bad = (field: string, value: number, expected: string): void =>
      this.#log.report({ structure: 'dinode', ino, field, value, expected });
    const [bitmap, summary] = rtInodes(this.#g);
    const flags = v.getUint16(base + AT.flags);
    if (flags & DIFLAG.NEWRTBM && ino !== bitmap) bad('flags', flags, 'no bit 2 but in the realtime bitmap');
    if (!isSystem) return;
    const mode = v.getUint16(base + AT.mode);
    if ((mode & S_IFMT) !== S_IF.REG) bad('mode', mode, 'a regular file: the superblock names it');
    const size = getU64(v, base + AT.size);
    if (size !== 0) bad('size', size, '0: the superblock names it');
    const nlink = v.getUint32(base + AT.nlinkv2);
    if (nlink !== 1) bad('nlinkv2', nlink, '1: the superblock names it');
    const nextents = dinodeNextents(v, base);
    if (nextents !== 0 && (ino === bitmap || ino === summary))
      bad('nextents', nextents, '0 without a realtime device');
  }

  #free(base: number, ino: number): void {
    const v = this.#chunk.view;
    this.#checkPad(base, ino);
    const next = v.getUint32(base + AT.next_unlinked);
    if (next !== NULLAGINO)
      this.#log.report({
        structure: 'dinode',
        ino,
        field: 'next_unlinked',
        value: next,
        expected: 'null: it is free',
      });
    if (v.getUint16(base + AT.mode) !== 0 || !this.#identityHolds(base, ino))
      verifyInode(this.#g, this.#inodeAt(base, ino), false, this.#log.report);
  }

  #inode(slot: number, base: number, ino: number): void {
    const v = this.#chunk.view;
    const g = this.#g;
    const table = this.#table;
    this.#log.begin();
    let flags = SLOT.USED | (table.flags[slot] & SLOT.SYSTEM);
    if (!this.#looksRight(base, ino) && !verifyInode(g, this.#inodeAt(base, ino), true, this.#log.report))
      flags |= SLOT.DOUBTFUL;
    this.#checkPad(base, ino);
    if (!g.features.metadir && (flags & SLOT.SYSTEM || v.getUint16(base + AT.flags) & DIFLAG.NEWRTBM))
      this.#checkSystem(base, ino, (flags & SLOT.SYSTEM) !== 0);
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
    if (nlink === 0) this.#part.nextUnlinked.set(slot, next);
    else if (next !== NULLAGINO)
      this.#log.report({
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
    this.#forks.odd = false;
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
      if (kind !== 0) found += this.#forks.enter(v, base, ino, slot, 'data', format, kind | doubt);
    }
    if (v.getUint8(base + AT.forkoff) !== 0) {
      const aformat = v.getInt8(base + AT.aformat);
      if (aformat === FORK_FORMAT.EXTENTS || aformat === FORK_FORMAT.BTREE)
        found += this.#forks.enter(v, base, ino, slot, 'attr', aformat, CLAIM.ATTR | doubt);
    }
    const stored = getU64(v, base + AT.nblocks);
    if (this.#forks.odd) table.flags[slot] |= SLOT.ODD_FORK;
    // Of what is damaged some is not found: only what is too much tells.
    if (found > stored || (found !== stored && this.#log.clean)) table.flags[slot] |= SLOT.BLOCKS_DIFFER;
    if (found !== stored && this.#log.clean) this.#part.blockCounts.push({ slot, stored, found });
    if (type === S_IF.DIR && !(flags & SLOT.SYSTEM)) this.#contents.directory(this.#inodeAt(base, ino), slot);
    else if (type === S_IF.REG && flags & SLOT.SYSTEM && !g.features.metadir)
      this.#contents.quota(this.#inodeAt(base, ino));
    else if (type === S_IF.LNK) this.#contents.symlink(this.#inodeAt(base, ino));
    const attrs = v.getUint8(base + AT.forkoff) !== 0;
    if (attrs && (v.getInt8(base + AT.aformat) !== FORK_FORMAT.EXTENTS || dinodeNaextents(v, base) > 0))
      this.#contents.attributes(this.#inodeAt(base, ino), slot);
  }

  /** Whether times of two numbers have no more nanoseconds than a second. */
  #nanosecondsHold(base: number): boolean {
    const v = this.#chunk.view;
    return (
      v.getUint32(base + AT.atime + 4) < 1e9 &&
      v.getUint32(base + AT.mtime + 4) < 1e9 &&
      v.getUint32(base + AT.ctime + 4) < 1e9 &&
      v.getUint32(base + AT.crtime + 4) < 1e9
    );
  }

  /**
   * Whether a core is plainly as it should be: a file with its few extents inside, an ordinary directory. All
   * that `verifyInode` asks is answered by what is asked here; anything else goes there.
   */
  #looksRight(base: number, ino: number): boolean {
    const v = this.#chunk.view;
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
    if (v.getUint16(base + AT.flags) & ~PLAIN_FLAGS) return false;
    if ((v.getUint32(base + AT.flags2 + 4) & DIFLAG2.BIGTIME) === 0 && !this.#nanosecondsHold(base))
      return false;
    const big = (v.getUint32(base + AT.flags2 + 4) & DIFLAG2.NREXT64) !== 0;
    const nextents = v.getUint32(base + (big ? DINODE64.at.nextents + 4 : AT.nextents));
    if (big ? v.getUint32(base + DINODE64.at.nextents) !== 0 : v.getUint16(base + AT.naextents) !== 0)
      return false;
    if (
      big &&
      (v.getUint32(base + DINODE64.at.naextents) !== 0 || v.getUint16(base + DINODE64.at.nrext64_pad) !== 0)
    )
      return false;
    if (v.getUint32(base + AT.nblocks) !== 0 || v.getUint32(base + AT.nblocks + 4) > dblocks) return false;
    if (type === S_IF.REG) {
      if (format !== FORK_FORMAT.EXTENTS || nextents * EXTENT_SIZE > room || size >= 2 ** 63) return false;
    } else if (type === S_IF.DIR) {
      if (size === 0) return false;
      if (format === FORK_FORMAT.LOCAL ? nextents !== 0 || size > room : format !== FORK_FORMAT.EXTENTS)
        return false;
      if (nextents * EXTENT_SIZE > room || v.getUint32(base + AT.flags2 + 4) & DIFLAG2.REFLINK) return false;
    } else return false;
    return this.#identityHolds(base, ino);
  }

  #inodeAt(base: number, ino: number): Inode {
    return new Inode(ino, this.#chunk.view, base, this.#g.inodesize);
  }
}
