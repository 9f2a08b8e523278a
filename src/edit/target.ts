/** Where several files go: into a directory, each under its own last name, as cp, mv and ln have it. */
import { type Edit, type Path, pathBytes } from './edit.js';
import { EditError } from './error.js';

/** The last name of a path; empty for '/'. */
export function lastName(path: Path): Uint8Array {
  const bytes = pathBytes(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0x2f) end--;
  return bytes.subarray(bytes.lastIndexOf(0x2f, end - 1) + 1, end);
}

/** Whether a path leads to a directory, through a link too. False where it leads nowhere. */
export function isDirectory(edit: Edit, path: Path): boolean {
  try {
    return edit.resolve(path).isDir;
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
    return false;
  }
}

/** Whether a name stands at a path; a link counts as itself. */
export function present(edit: Edit, path: Path): boolean {
  try {
    edit.resolve(path, { follow: false });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    return false;
  }
}

/**
 * The path each of `names` gets: below `to` where that is a directory, `to` itself where it is none and there
 * is one name only. Throws EditError.
 */
export function destinations(edit: Edit, names: readonly Path[], to: Path): Uint8Array[] {
  const bytes = pathBytes(to);
  if (!isDirectory(edit, to)) {
    if (names.length !== 1) throw new EditError('ENOTDIR', bytes);
    return [bytes];
  }
  const slash = bytes[bytes.length - 1] === 0x2f;
  return names.map((name) => Buffer.concat([bytes, Buffer.from(slash ? '' : '/'), lastName(name)]));
}
