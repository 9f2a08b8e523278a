/** Dedupe by path: the files named, and those below the directories named. */
import { AGF } from '../format/ag.js';
import { DIFLAG } from '../format/dinode.js';
import { type Deduped, Deduper } from './dedupe.js';
import { type Edit, type Path, pathBytes } from './edit.js';
import { requireReflink } from './share.js';
import { type Found, walk } from './walk.js';

/** Free blocks of the filesystem, by the AG headers. */
function freeBlocks(edit: Edit): number {
  let free = 0;
  for (let agno = 0; agno < edit.g.agcount; agno++) {
    const { view } = edit.engine.agf(agno);
    free += view.getUint32(AGF.at.freeblks) + view.getUint32(AGF.at.flcount);
  }
  return free;
}

/** The files and directories to look at. Throws PathError, UnsupportedError: nothing was changed then. */
export function dedupeStarts(edit: Edit, paths: readonly Path[]): Found[] {
  requireReflink(edit);
  return paths.map((path) => ({ inode: edit.resolve(path), path: pathBytes(path) }));
}

/**
 * Shares equal blocks of regular files; each is told to `done`. Returns the blocks freed, and the files left
 * out because their flags forbid changes. Throws NoSpaceError.
 */
export function dedupeTree(
  edit: Edit,
  starts: readonly Found[],
  done: (path: Uint8Array, what: Deduped) => void,
): { readonly freed: number; readonly skipped: number } {
  const before = freeBlocks(edit);
  const deduper = new Deduper(edit);
  let skipped = 0;
  for (const start of starts)
    for (const { inode, path } of walk(edit, start.inode, start.path)) {
      if (!inode.isRegular) continue;
      if (inode.flags & (DIFLAG.IMMUTABLE | DIFLAG.APPEND)) {
        skipped++;
        continue;
      }
      const what = deduper.add(inode.ino);
      if (what !== undefined) done(path, what);
    }
  return { freed: freeBlocks(edit) - before, skipped };
}
