/** Edits of names and attributes, for power cuts. */
import { chmod, chown, touch } from '../../src/edit/attributes.js';
import { link, mkdir, mknod, symlink } from '../../src/edit/create.js';
import { BytesInput } from '../../src/edit/input.js';
import { parseMode } from '../../src/edit/mode.js';
import { putInput } from '../../src/edit/put.js';
import { removeTree, rmdir, unlink } from '../../src/edit/remove.js';
import { rename } from '../../src/edit/rename.js';
import { removeXattr, setXattr } from '../../src/edit/xattr.js';
import { S_IF } from '../../src/format/dinode.js';
import type { CutEdit } from './cuts.js';
import { pattern } from './datawork.js';

const NOTE = Buffer.from('user.note');

export const NAME_EDITS: Record<string, CutEdit> = {
  mkdir: { run: (edit) => mkdir(edit, '/made') },
  'mkdir -p': { run: (edit) => mkdir(edit, '/made/of/many', { parents: true }) },
  rmdir: {
    run: (edit) => {
      unlink(edit, '/dir/sub/two');
      rmdir(edit, '/dir/sub');
    },
    parts: true,
  },
  'rm of a file': { run: (edit) => unlink(edit, '/plain') },
  'rm of a shared file': { run: (edit) => unlink(edit, '/b'), reflink: true },
  'rm -r': { run: (edit) => removeTree(edit, '/dir'), parts: true },
  mv: { run: (edit) => rename(edit, '/plain', '/dir/moved') },
  'mv over a file': { run: (edit) => rename(edit, '/plain', '/dir/one') },
  'mv of a directory': { run: (edit) => rename(edit, '/dir/sub', '/sub') },
  ln: { run: (edit) => link(edit, '/plain', '/dir/again') },
  'ln -s': { run: (edit) => symlink(edit, 'plain', '/short') },
  'ln -s, long': { run: (edit) => symlink(edit, 'x/'.repeat(400), '/long') },
  mknod: { run: (edit) => mknod(edit, '/fifo', { type: S_IF.FIFO }) },
  chmod: { run: (edit) => chmod(edit, '/plain', parseMode('4711', 0)!) },
  'chmod -R': {
    run: (edit) => chmod(edit, '/dir', parseMode('u=rwX,go=', 0)!, { recursive: true }),
    parts: true,
  },
  chown: { run: (edit) => chown(edit, '/plain', 5, 6) },
  touch: { run: (edit) => touch(edit, '/plain', { mtime: { sec: 9, nsec: 8 } }) },
  setfattr: { run: (edit) => setXattr(edit, '/dir/one', NOTE, Buffer.from('changed')) },
  'setfattr, long': { run: (edit) => setXattr(edit, '/plain', NOTE, pattern(7, 9000)) },
  'setfattr -x': { run: (edit) => removeXattr(edit, '/dir/one', NOTE) },
  put: { run: (edit) => putInput(edit, '/put', new BytesInput(pattern(8, 9000))) },
  'put over a file': { run: (edit) => putInput(edit, '/plain', new BytesInput(pattern(8, 9000))) },
};
