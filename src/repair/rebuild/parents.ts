/**
 * Parent pointers made what the directory entries are. An entry that lost its pointer gets one; a pointer that lost
 * its entry gives the inode its name back where the link count misses one, and goes otherwise.
 */
import type { NewAttr } from '../../build/attr.js';
import { ATTR_FLAG, PARENT_REC } from '../../format/attr.js';
import { sealCrc } from '../../format/checksum.js';
import { DINODE, DINODE_SIZE, FORK_FORMAT } from '../../format/dinode.js';
import { FTYPE } from '../../format/dir.js';
import { inodeOffset } from '../../format/geometry.js';
import { setU64, viewOf } from '../../format/structure.js';
import { bytesToText, textToBytes } from '../../format/text.js';
import { parentPointer } from '../../volume/attr.js';
import { readInode } from '../../volume/inode.js';
import { bytesOf, type Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import { type Entry, gatherEntries } from '../judge/entries.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { salvageAttrs, writeAttrFork } from './attrs.js';
import { type EntryList, readableEntries, writeDirectory } from './dirs.js';
import type { FreeSpace } from './space.js';

/** A name in a directory, as an entry or a pointer has it. */
interface Name {
  readonly dir: number;
  readonly generation: number;
  readonly name: string;
}

const keyOf = ({ dir, generation, name }: Name): string => `${dir} ${generation} ${name}`;

/** Inodes whose parent pointers findings call wrong. */
export class ParentEdits {
  readonly #o: Observation;
  readonly #inos = new Set<number>();
  /** Directories that get names back. */
  readonly #dirs = new Map<number, EntryList>();

  constructor(o: Observation, findings: readonly Finding[]) {
    this.#o = o;
    for (const f of findings) if (f.code === 'parent.pointer' && f.ino !== undefined) this.#inos.add(f.ino);
  }

  get size(): number {
    return this.#inos.size;
  }

  /** Inodes whose forks change. */
  get inodes(): ReadonlySet<number> {
    return new Set([...this.#inos, ...this.#dirs.keys()]);
  }

  apply(volume: Volume, space: FreeSpace): void {
    const { table } = this.#o;
    const suspects = new Map<number, Entry[]>();
    for (const ino of this.#inos) suspects.set(table.slot(ino), []);
    gatherEntries(this.#o, suspects);
    for (const [slot, entries] of suspects) this.#mend(volume, space, slot, entries);
    for (const [ino, list] of this.#dirs) {
      const holder = table.heldBy[table.slot(ino)];
      writeDirectory(volume, space, ino, list, holder < 0 ? volume.g.rootino : table.ino(holder));
    }
  }

  #mend(volume: Volume, space: FreeSpace, slot: number, entries: readonly Entry[]): void {
    const { table } = this.#o;
    const ino = table.ino(slot);
    const named = new Map<string, Name>();
    for (const { dir, name } of entries) {
      const holder = table.ino(dir);
      const { generation } = readInode(volume, holder, { verify: false });
      const entry = { dir: holder, generation, name };
      named.set(keyOf(entry), entry);
    }
    const attrs: NewAttr[] = [];
    const stale: Name[] = [];
    for (const attr of salvageAttrs(volume, ino).attrs) {
      const pointer = attr.flags & ATTR_FLAG.PARENT ? pointerOf(attr) : undefined;
      if (pointer === undefined || named.delete(keyOf(pointer))) attrs.push(attr);
      else stale.push(pointer);
    }
    let missing = table.nlink[slot] - entries.length;
    for (const pointer of stale)
      if (missing > 0 && this.#restore(volume, slot, pointer)) {
        attrs.push(attrOf(pointer));
        missing--;
      }
    for (const entry of named.values()) attrs.push(attrOf(entry));
    if (makeAttrFork(volume, ino)) writeAttrFork(volume, space, ino, attrs);
  }

  /** Gives a file the name of a pointer back, where its directory is the one meant and has no such name. */
  #restore(volume: Volume, slot: number, { dir, generation, name }: Name): boolean {
    const { table } = this.#o;
    const holder = table.slot(dir);
    const isDir = holder >= 0 && table.type[holder] === FTYPE.DIR && (table.flags[holder] & SLOT.USED) !== 0;
    if (!isDir || table.type[slot] === FTYPE.DIR) return false;
    if (readInode(volume, dir, { verify: false }).generation !== generation) return false;
    const list = this.#dirs.get(dir) ?? readableEntries(this.#o, volume, dir);
    if (!list.add(textToBytes(name), table.ino(slot), table.type[slot])) return false;
    this.#dirs.set(dir, list);
    return true;
  }
}

function pointerOf({ flags, name, value }: NewAttr): Name | undefined {
  const pointer = parentPointer({ namespace: 'parent', flags, name, value, valuelen: value.length });
  return pointer && { dir: pointer.ino, generation: pointer.generation, name: bytesToText(name) };
}

function attrOf({ dir, generation, name }: Name): NewAttr {
  const value = new Uint8Array(PARENT_REC.size);
  setU64(viewOf(value), PARENT_REC.at.p_ino, dir);
  viewOf(value).setUint32(PARENT_REC.at.p_gen, generation);
  return { flags: ATTR_FLAG.PARENT, name: textToBytes(name), value };
}

/** Least room for attributes: the root of their extents. */
const LEAST_ROOM = 40;

/** Gives an inode an attribute fork where it has none; false where its data fork leaves no room. */
function makeAttrFork(volume: Volume, ino: number): boolean {
  const { g } = volume;
  const old = readInode(volume, ino, { verify: false });
  if (old.hasAttrFork) return true;
  const room = g.inodesize - DINODE_SIZE;
  const used =
    old.format === FORK_FORMAT.LOCAL
      ? old.size
      : old.format === FORK_FORMAT.EXTENTS
        ? old.nextents * 16
        : old.format === FORK_FORMAT.DEV
          ? 8
          : room;
  const forkoff = old.format === FORK_FORMAT.DEV ? 1 : Math.max(Math.ceil(used / 8), room >> 4);
  if (forkoff * 8 > room - LEAST_ROOM) return false;
  const bytes = bytesOf(old.view).slice(old.base, old.base + g.inodesize);
  bytes.fill(0, DINODE_SIZE + forkoff * 8);
  const v = viewOf(bytes);
  v.setUint8(DINODE.at.forkoff, forkoff);
  v.setInt8(DINODE.at.aformat, FORK_FORMAT.EXTENTS);
  sealCrc(bytes, DINODE.at.crc);
  volume.source.write(inodeOffset(g, ino), bytes);
  volume.cache.clear();
  return true;
}
