/**
 * A repair cut after each of its writes: Linux does not mount what is half done, the next run finishes it, and
 * the files are what an uncut run leaves.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { openSource } from '../../src/image/open.js';
import type { Source } from '../../src/image/source.js';
import { repair } from '../../src/repair/repair.js';
import { withMount } from '../support/mount.js';
import { copyImage, oracle, run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { describeTree } from '../support/tree.js';
import { type Base, forge, makeBase } from './base.js';
import { FORGERIES } from './forgeries.js';

/** A source that fails for good after a number of writes. */
class Cut implements Source {
  readonly #under: Source;
  #left: number;
  constructor(under: Source, writes: number) {
    this.#under = under;
    this.#left = writes;
  }
  get size(): number {
    return this.#under.size;
  }
  get writesLeft(): number {
    return this.#left;
  }
  read(offset: number, into: Uint8Array): void {
    this.#under.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    if (this.#left-- <= 0) throw new Error('cut');
    this.#under.write(offset, from);
  }
  sync(): void {}
  close(): void {
    this.#under.close();
  }
}

function repairCut(image: string, writes: number): number {
  const source = new Cut(openSource(image, { write: true }), writes);
  try {
    repair(source, { onDuplicate: 'quarantine' });
  } catch (error) {
    if ((error as Error).message !== 'cut') throw error;
  } finally {
    source.close();
  }
  return source.writesLeft;
}

/** Names and contents; times of lost+found are its own. */
const files = (image: string): string[] =>
  withMount(
    image,
    (root) =>
      [...describeTree(root)].map(([path, node]) => `${path} ${node.type} ${node.size} ${node.content}`),
    { options: 'ro' },
  );

const NAMES = [
  'unflagged onto unflagged, of another length',
  'overlap over the ends of two files',
  'two files with their blocks swapped',
  'flags lost by all of three',
  'data onto a directory block',
  'all refcount records missing',
];

for (const rmapbt of [true, false]) {
  describe(
    `cut repairs, ${rmapbt ? 'with' : 'without'} an rmap btree`,
    oracle('mount', 'xfs_db', 'xfs_repair'),
    () => {
      let base: Base;
      before(() => {
        base = makeBase(rmapbt);
      });

      for (const forgery of FORGERIES.filter((f) => NAMES.includes(f.name))) {
        if (!rmapbt && forgery.plain?.length === 0) continue;
        test(forgery.name, () => {
          const forged = forge(base, forgery.make(base));
          const whole = copyImage(forged, join(tmpdir(), 'whole'));
          const all = 1_000_000 - repairCut(whole, 1_000_000);
          const expected = files(whole);
          assert.ok(all > 3);
          for (let writes = 1; writes < all; writes++) {
            const image = copyImage(forged, join(tmpdir(), 'cut'));
            assert.ok(repairCut(image, writes) < 0);
            const probe = run('xfs_db', ['-r', '-c', 'version', image], { status: 'any' });
            assert.match(probe.stdout, /NEEDSREPAIR/, `cut after ${writes} of ${all}`);
            repairCut(image, 1_000_000);
            xfsRepairClean(image);
            assert.deepEqual(files(image), expected, `cut after ${writes} of ${all}`);
          }
        });
      }
    },
  );
}
