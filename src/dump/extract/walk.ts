/** A tree of an image, file by file in the order of names, for what takes it out. */
import { CorruptionError } from '../../format/fault.js';
import { shownAttrs } from '../../volume/attr.js';
import { type Inode, readInode } from '../../volume/inode.js';
import { byName, walkTree } from '../../volume/path.js';
import type { Volume } from '../../volume/volume.js';

export interface ExtractedFile {
  readonly inode: Inode;
  /** Path below where the walk started; empty for that directory itself. */
  readonly path: Uint8Array;
  /** Attributes by full name. */
  readonly xattrs: readonly (readonly [name: Uint8Array, value: Uint8Array])[];
  /** An earlier path of the same file. */
  readonly linkTo: Uint8Array | undefined;
}

/**
 * Takes one file; false keeps the walk out of a directory. May throw CorruptionError: what is wrong is
 * reported, and the walk goes on beside it.
 */
export type FileSink = (file: ExtractedFile) => boolean;

/** What is taken out. */
export interface Start {
  readonly inode: Inode;
  /** What it is called where it is no directory. */
  readonly name?: Uint8Array;
}

const NAMELESS: Uint8Array = new Uint8Array(0);

/** Visits `start` and, where it is a directory, everything below it. Damage goes to the volume's report. */
export function walkFiles(volume: Volume, start: Start, sink: FileSink): void {
  const { inode } = start;
  const seen = new Map<number, Uint8Array>();
  const take = (inode: Inode, path: Uint8Array): boolean => {
    let linkTo: Uint8Array | undefined;
    if (!inode.isDir && inode.nlink > 1) {
      linkTo = seen.get(inode.ino);
      if (linkTo === undefined) seen.set(inode.ino, path.slice());
    }
    return sink({ inode, path, xattrs: linkTo === undefined ? shownAttrs(volume, inode) : [], linkTo });
  };
  const guarded = (fn: () => boolean): boolean => {
    try {
      return fn();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      volume.report(error.fault);
      return false;
    }
  };
  if (!guarded(() => take(inode, inode.isDir ? NAMELESS : (start.name ?? NAMELESS))) || !inode.isDir) return;
  walkTree(
    volume,
    inode,
    (entry) => {
      if (!isSafeName(entry.name)) {
        volume.report({
          structure: 'directory',
          ino: entry.parent,
          field: 'name',
          value: JSON.stringify(Buffer.from(entry.name).toString('latin1')),
          expected: 'a name without slashes, not . or ..',
        });
        return false;
      }
      return guarded(() => take(readInode(volume, entry.ino), entry.path));
    },
    { order: byName },
  );
}

/** Whether a name stays in its directory: the bytes of an image are not to be trusted. */
function isSafeName(name: Uint8Array): boolean {
  if (name.length === 0 || name.indexOf(0x2f) >= 0 || name.indexOf(0) >= 0) return false;
  return !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)));
}
