/** What hangs on damaged inodes besides data and names: attributes and targets, saved and written anew. */
import { FTYPE } from '../../format/dir.js';
import { readInode } from '../../volume/inode.js';
import type { Volume } from '../../volume/volume.js';
import type { Finding } from '../finding.js';
import { SLOT } from '../observe/inodetable.js';
import type { Observation } from '../observe/observe.js';
import { resetRecords } from '../quota.js';
import { salvageAttrs, writeAttrFork } from './attrs.js';
import { clearInode, type MendState } from './mends.js';
import type { FreeSpace } from './space.js';
import { salvageTarget, writeTarget } from './symlinks.js';

const ATTR_CODES = /^(short-form-attr|attr-leaf|attr-node|attr-remote)\./;
const SYMLINK_CODES = /^symlink\./;

/** Rewrites after which a fork is given up. */
const MAX_TRIES = 2;

/** Forks that findings call for, by inode. */
export class ContentEdits {
  readonly #attrs = new Map<number, Finding>();
  readonly #targets = new Map<number, Finding>();
  readonly #quotas = new Set<number>();

  constructor(o: Observation, findings: readonly Finding[]) {
    for (const f of findings) {
      if (f.ino === undefined || f.severity !== 'damage') continue;
      const slot = o.table.slot(f.ino);
      if (slot < 0 || (o.table.flags[slot] & SLOT.USED) === 0) continue;
      if (ATTR_CODES.test(f.code)) this.#attrs.set(f.ino, f);
      else if (f.code.startsWith('dquot.')) this.#quotas.add(f.ino);
      else if (SYMLINK_CODES.test(f.code) && o.table.type[slot] === FTYPE.LNK) this.#targets.set(f.ino, f);
    }
  }

  get size(): number {
    return this.#attrs.size + this.#targets.size + this.#quotas.size;
  }

  get inodes(): ReadonlySet<number> {
    return new Set([...this.#attrs.keys(), ...this.#targets.keys()]);
  }

  apply(volume: Volume, space: FreeSpace, state: MendState): void {
    for (const [ino, finding] of this.#attrs) this.#mendAttrs(volume, space, state, ino, finding);
    for (const ino of this.#quotas) resetRecords(volume, readInode(volume, ino, { verify: false }));
    for (const [ino, finding] of this.#targets) {
      const target = state.tries(ino, 'target') < MAX_TRIES ? salvageTarget(volume, ino) : undefined;
      if (target === undefined) clearInode(volume, ino, state, finding);
      else writeTarget(volume, space, ino, target);
    }
  }

  #mendAttrs(volume: Volume, space: FreeSpace, state: MendState, ino: number, finding: Finding): void {
    const lose = (message: string): void =>
      state.lose(
        'attribute.lost',
        ino,
        finding.path,
        `inode ${ino}: ${message}`,
        'leave it out; all else is kept',
      );
    if (state.tries(ino, 'attrs') >= MAX_TRIES) {
      lose('its attributes cannot be told');
      writeAttrFork(volume, space, ino, []);
      return;
    }
    const { attrs, lost } = salvageAttrs(volume, ino);
    for (const name of lost) lose(`the attribute ${JSON.stringify(name)} cannot be told`);
    writeAttrFork(volume, space, ino, attrs);
  }
}
