/** Everything below a directory, as it is in the middle of edits. */
import type { LiveInode } from '../transaction/inode.js';
import type { Edit } from './edit.js';

export interface Found {
  readonly inode: LiveInode;
  readonly path: Uint8Array;
}

/** A path and a name below it. */
export function joinPath(path: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = path.length > 0 && path[path.length - 1] === 0x2f ? 0 : 1;
  const out = new Uint8Array(path.length + slash + name.length);
  out.set(path);
  if (slash === 1) out[path.length] = 0x2f;
  out.set(name, path.length + slash);
  return out;
}

/** A file and, where it is a directory, everything below it, directories before what is in them; links are not followed. */
export function walk(edit: Edit, start: LiveInode, path: Uint8Array): Found[] {
  const out: Found[] = [{ inode: start, path }];
  for (let i = 0; i < out.length; i++) {
    const { inode, path: at } = out[i];
    if (!inode.isDir) continue;
    for (const e of edit.list(inode)) out.push({ inode: edit.inode(e.ino), path: joinPath(at, e.name) });
  }
  return out;
}
