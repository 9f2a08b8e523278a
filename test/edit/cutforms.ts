/** Directories and attribute forks that an edit takes from one form to the next, for power cuts. */
import { linkSync, lstatSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { link } from '../../src/edit/create.js';
import { unlink } from '../../src/edit/remove.js';
import { rename } from '../../src/edit/rename.js';
import { removeXattr, setXattr } from '../../src/edit/xattr.js';
import { withMount } from '../support/mount.js';
import { run } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import type { CutEdit } from './cuts.js';
import { pattern } from './datawork.js';

/** Names long enough for a directory to pass through its forms soon. */
const longName = (n: number): string => `${'long name '.repeat(20)}${n}`;
const shortName = (n: number): string => `${n}`;
/** The name that makes the step: as long as the others. */
const atStep = (form: string): string => (form === 'node' ? '9999' : longName(999));
/** mkfs.xfs makes them as large as a block, and no smaller than this. */
const DIRECTORY_BLOCK = 4096;
const attribute = (n: number): Buffer => Buffer.from(`user.attribute${n}`);
const VALUE = Buffer.alloc(150, 'value of an attribute ');

/**
 * What stands in the base: of each directory below `/to` the next name changes the form, of those below `/from`
 * the last one did; the same of attribute forks of the files below `/attr-to` and `/attr-from`.
 */
const next = (form: string): string => `/to/${form}/${atStep(form)}`;
const last = (form: string): string => `/from/${form}/${atStep(form)}`;

export const FORM_EDITS: Record<string, CutEdit> = {
  'ln, short form to block': { run: (edit) => link(edit, '/file', next('block')) },
  'ln, block to leaf': { run: (edit) => link(edit, '/file', next('leaf')) },
  'ln, leaf to node': { run: (edit) => link(edit, '/file', next('node')) },
  'rm, block to short form': { run: (edit) => unlink(edit, last('block')) },
  'rm, leaf to block': { run: (edit) => unlink(edit, last('leaf')) },
  'rm, node to leaf': { run: (edit) => unlink(edit, last('node')) },
  'mv, node to leaf and leaf to node': { run: (edit) => rename(edit, last('node'), next('node')) },
  'mv over a name in a node directory': { run: (edit) => rename(edit, '/file', last('node')) },
  'setfattr, short form to leaf': { run: (edit) => setXattr(edit, '/attr-to/leaf', attribute(0), VALUE) },
  'setfattr, leaf to node': { run: (edit) => setXattr(edit, '/attr-to/node', attribute(0), VALUE) },
  'setfattr -x, leaf to short form': { run: (edit) => removeXattr(edit, '/attr-from/leaf', attribute(0)) },
  'setfattr -x, node': { run: (edit) => removeXattr(edit, '/attr-from/node', attribute(0)) },
  'setfattr, replaced in a node': {
    run: (edit) => setXattr(edit, '/attr-from/node', attribute(1), pattern(1, 180)),
  },
  'setfattr, remote in a node': {
    run: (edit) => setXattr(edit, '/attr-from/node', attribute(2), pattern(2, 9000)),
  },
  'setfattr, remote replaced': {
    run: (edit) => setXattr(edit, '/attr-from/remote', attribute(0), pattern(3, 12_000)),
  },
  'setfattr, remote to local': {
    run: (edit) => setXattr(edit, '/attr-from/remote', attribute(0), Buffer.from('short')),
  },
  'setfattr -x, remote': { run: (edit) => removeXattr(edit, '/attr-from/remote', attribute(0)) },
};

/** Makes the image these edits begin with, through Linux. */
export function makeFormsBase(path: string, args: readonly string[]): void {
  mkfs(path, { size: 32 << 20, args, tiny: true });
  withMount(path, (root) => {
    const blocksize = statfsSync(root).bsize;
    const at = (...names: string[]): string => join(root, ...names);
    for (const folder of ['to', 'from', 'attr-to', 'attr-from']) mkdirSync(at(folder));
    // Names in directories are links of files that have more than one.
    writeFileSync(at('file'), 'linked');
    writeFileSync(at('many'), 'linked often');
    const fill = (dir: string, names: number, name: (n: number) => string): void => {
      mkdirSync(dir);
      for (let n = 0; n < names; n++) linkSync(at('many'), join(dir, name(n)));
    };
    const forms = [
      ['block', longName, 1, 1],
      ['leaf', longName, 2, 1],
      ['node', shortName, 1, 3],
    ] as const;
    for (const [form, name, times, blocks] of forms) {
      mkdirSync(at('trial'));
      const names = findStep(at('trial'), times, blocks * DIRECTORY_BLOCK, (n) =>
        linkSync(at('many'), at('trial', name(n))),
      );
      fill(at('to', form), names, name);
      fill(at('from', form), names, name);
      linkSync(at('file'), at('from', form, atStep(form)));
    }
    const set = (file: string, n: number, value: Buffer = VALUE): void => {
      const text = `0s${value.toString('base64')}`;
      run('setfattr', ['-h', '-n', attribute(n).toString(), '-v', text, file]);
    };
    const attributes = (file: string, from: number, to: number): void => {
      writeFileSync(file, '');
      for (let n = from; n < to; n++) set(file, n);
    };
    for (const [form, times, blocks] of [
      ['leaf', 1, 1],
      ['node', 1, 2],
    ] as const) {
      writeFileSync(at('trial'), '');
      const count = findStep(at('trial'), times, blocks * blocksize, (n) => set(at('trial'), n));
      // The attribute with the number 0 is the one that comes, or goes.
      attributes(at('attr-to', form), 1, count + 1);
      attributes(at('attr-from', form), 1, count + 1);
      set(at('attr-from', form), 0);
    }
    writeFileSync(at('attr-from', 'remote'), '');
    set(at('attr-from', 'remote'), 0, pattern(4, 9000));
    set(at('attr-from', 'remote'), 1);
  });
}

/**
 * How many things can be added to a file before one makes it grow by so many bytes or more, for the `times`-th
 * time. The file is gone then.
 */
function findStep(path: string, times: number, bytes: number, add: (n: number) => void): number {
  let seen = 0;
  for (let n = 0; n < 10_000; n++) {
    const before = lstatSync(path).blocks;
    add(n);
    if ((lstatSync(path).blocks - before) * 512 < bytes || ++seen < times) continue;
    rmSync(path, { recursive: true });
    return n;
  }
  throw new Error(`${path} does not grow by ${bytes} bytes`);
}
