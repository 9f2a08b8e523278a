/** What `xfsimg find` does. */
import { emitFile, FILES } from '../dump/files.js';
import { fileType, fileTypeOfFtype, flagNames } from '../format/mode.js';
import { bytesToText, textToBytes } from '../format/text.js';
import { type Inode, readInode } from '../volume/inode.js';
import { type TreeEntry, walkTree } from '../volume/path.js';
import type { Volume } from '../volume/volume.js';
import { Damage } from './damage.js';
import type { Comparison, FindOptions } from './find.js';
import { glob } from './glob.js';
import { openImage } from './image.js';
import { NameWriter } from './names.js';
import { findOperand } from './operands.js';
import { Output } from './render/output.js';
import { openTable, wantsRows } from './render/table.js';

const SLASH = 0x2f;
const NEWLINE = 10;

const holds = ({ sign, value }: Comparison, n: number): boolean =>
  sign === 0 ? n === value : sign > 0 ? n > value : n < value;

/** Takes a path found; the bytes are good for the call alone. */
type Found = (path: Uint8Array, ino: number, inode: Inode | undefined) => void;

export async function search(image: string, paths: string[], options: FindOptions): Promise<void> {
  const volume = openImage(image, options);
  try {
    const damage = new Damage(volume, image);
    const out = new Output();
    const rows = wantsRows(options) ? await openTable(FILES, options, { image, volume }) : undefined;
    // A zero byte ends what another program reads: that gets the bytes as they are.
    const names = new NameWriter(out, options.print0 === true ? false : undefined);
    const end = options.print0 === true ? 0 : NEWLINE;
    const found: Found = (path, ino, inode) => {
      if (rows === undefined) {
        names.write(path);
        out.byte(end);
        return;
      }
      damage.guard(() => emitFile(rows, volume, inode ?? readInode(volume, ino), path));
    };
    const matcher = new Matcher(volume, damage, options, found);
    for (const operand of paths.length > 0 ? paths : ['/']) matcher.run(operand);
    rows?.finish();
    out.flush();
    damage.finish();
  } finally {
    volume.close();
  }
}

class Matcher {
  readonly #volume: Volume;
  readonly #damage: Damage;
  readonly #options: FindOptions;
  readonly #found: Found;
  readonly #name: ((s: string) => boolean)[] = [];
  readonly #path: ((s: string) => boolean) | undefined;
  readonly #types: Set<string> | undefined;
  /** Whether a test asks for what only the inode knows. */
  readonly #needInode: boolean;
  constructor(volume: Volume, damage: Damage, options: FindOptions, found: Found) {
    this.#volume = volume;
    this.#damage = damage;
    this.#options = options;
    this.#found = found;
    if (options.name !== undefined) this.#name.push(glob(options.name));
    if (options.iname !== undefined) this.#name.push(glob(options.iname, true));
    this.#path = options.path === undefined ? undefined : glob(options.path);
    this.#types = options.type === undefined ? undefined : new Set(options.type);
    const { size, links, uid, gid, flag } = options;
    this.#needInode = [size, links, uid, gid, flag].some((o) => o !== undefined);
  }

  run(operand: string): void {
    const start = findOperand(this.#volume, operand, this.#damage, { follow: false });
    if (start === undefined) return;
    const prefix = textToBytes(operand);
    const slash = prefix.lastIndexOf(SLASH, prefix.length > 1 ? prefix.length - 2 : 0);
    const name = prefix.length > 1 ? prefix.subarray(slash + 1) : prefix;
    const top = { name, path: prefix, ino: start.ino };
    this.#test(top, fileType(start.mode), 0, start);
    const { maxdepth = Number.POSITIVE_INFINITY } = this.#options;
    if (!start.isDir || maxdepth === 0) return;
    this.#damage.guard(() =>
      walkTree(
        this.#volume,
        start,
        (entry) => {
          this.#test(entry, fileTypeOfFtype(entry.ftype), entry.depth + 1, undefined);
          return entry.depth + 1 < maxdepth;
        },
        { prefix },
      ),
    );
  }

  #test(
    entry: Pick<TreeEntry, 'name' | 'path' | 'ino'>,
    type: string,
    depth: number,
    known: Inode | undefined,
  ): void {
    const { mindepth = 0, inum } = this.#options;
    const { ino } = entry;
    if (depth < mindepth) return;
    if (inum !== undefined && ino !== inum) return;
    if (this.#types !== undefined && type !== 'unknown' && !this.#types.has(type)) return;
    if (this.#name.length > 0) {
      const s = bytesToText(entry.name);
      for (const test of this.#name) if (!test(s)) return;
    }
    if (this.#path !== undefined && !this.#path(bytesToText(entry.path))) return;
    let inode = known;
    if (inode === undefined && (this.#needInode || (this.#types !== undefined && type === 'unknown'))) {
      inode = this.#damage.guard(() => readInode(this.#volume, ino));
      if (inode === undefined) return;
    }
    if (inode !== undefined && !this.#testInode(inode)) return;
    this.#found(entry.path, ino, inode);
  }

  #testInode(inode: Inode): boolean {
    const { size, links, uid, gid, flag } = this.#options;
    if (this.#types !== undefined && !this.#types.has(fileType(inode.mode))) return false;
    if (size !== undefined && !holds(size, inode.size)) return false;
    if (links !== undefined && !holds(links, inode.nlink)) return false;
    if (uid !== undefined && inode.uid !== uid) return false;
    if (gid !== undefined && inode.gid !== gid) return false;
    return flag === undefined || flagNames(inode.flags, inode.flags2).includes(flag);
  }
}
