/** What stands inside directories, attribute forks and symbolic links. */
import { isAclName, isAclValue } from '../../format/acl.js';
import { ATTR_FLAG } from '../../format/attr.js';
import { daHash } from '../../format/da.js';
import { FORK_FORMAT } from '../../format/dinode.js';
import { CorruptionError } from '../../format/fault.js';
import { bytesToText } from '../../format/text.js';
import { attrValue, parentPointer, walkAttrs } from '../../volume/attr.js';
import { walkDir } from '../../volume/dir.js';
import { checkDirIndex, NameTable } from '../../volume/dirindex.js';
import type { Inode } from '../../volume/inode.js';
import { readSymlink } from '../../volume/symlink.js';
import type { Volume } from '../../volume/volume.js';
import { verifyQuotaFile } from '../quota.js';
import type { FaultLog } from './faultlog.js';
import { type EntryColumns, type InodeTable, MAX_TYPE_BIT } from './inodetable.js';
import { parentSum } from './parentsum.js';
import { MAX_DANGLING, type ScanPart } from './scanpart.js';

export class Contents {
  readonly #volume: Volume;
  readonly #table: InodeTable;
  readonly #entries: EntryColumns;
  readonly #part: ScanPart;
  readonly #log: FaultLog;
  readonly #names = new NameTable();

  constructor(volume: Volume, table: InodeTable, entries: EntryColumns, part: ScanPart) {
    this.#volume = volume;
    this.#table = table;
    this.#entries = entries;
    this.#part = part;
    this.#log = part.log;
  }

  /** Runs a reader that stops at the first fault, and takes the fault. */
  #whole(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#log.report(error.fault);
    }
  }

  symlink(inode: Inode): void {
    this.#whole(() => readSymlink(this.#volume, inode));
  }

  /** Reads the records of a quota file. */
  quota(inode: Inode): void {
    verifyQuotaFile(this.#volume, inode, this.#log.report);
  }

  /** Reads the attributes of the inode in `slot`, and takes what its parent pointers say. */
  attributes(inode: Inode, slot: number): void {
    const { report } = this.#log;
    const { parents } = this.#entries;
    const structure = inode.aformat === FORK_FORMAT.LOCAL ? 'short form attr' : 'attr leaf';
    const bad = (field: string, value: string | number, expected: string): void =>
      report({ structure, ino: inode.ino, field, value, expected });
    walkAttrs(
      this.#volume,
      inode,
      (attribute) => {
        const { flags, name, valueblk } = attribute;
        if (flags & ATTR_FLAG.INCOMPLETE)
          bad('flags', flags, 'no attribute that was only being made or removed');
        else if (flags & ATTR_FLAG.PARENT) {
          const pointer = parentPointer(attribute);
          if (pointer !== undefined && parents.length > 0)
            parents[slot] -= parentSum(name, 0, name.length, pointer.ino, pointer.generation);
        } else if (valueblk !== undefined || isAclName(flags, name))
          this.#whole(() => {
            const value = attrValue(this.#volume, inode, attribute);
            if (isAclName(flags, name) && !isAclValue(value))
              bad('value', `${value.length} bytes`, `an ACL in ${bytesToText(name)}`);
          });
      },
      { report, incomplete: true },
    );
  }

  /** Counts the entries of the directory in `slot`, and holds its index against its names. */
  directory(inode: Inode, slot: number): void {
    const table = this.#table;
    const { count, types, heldBy, parents } = this.#entries;
    const { generation } = inode;
    const { parent, dangling } = this.#part;
    const { report } = this.#log;
    // Larger forms have an index of their own, held against the names when all are known.
    const indexed = inode.format !== FORK_FORMAT.LOCAL && inode.nblocks > this.#volume.g.dirblkfsbs;
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
        if (count[child]++ === 0) heldBy[child] = slot;
        types[child] |= 1 << Math.min(ftype, MAX_TYPE_BIT);
        if (parents.length > 0) parents[child] += parentSum(block, from, to, inode.ino, generation);
      },
      { dots: true, report, block: indexed ? (v, db) => names.addBlock(db, v) : undefined },
    );
    if (indexed) this.#whole(() => checkDirIndex(this.#volume, inode, report, report, names));
  }
}
