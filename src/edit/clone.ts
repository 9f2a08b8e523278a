/**
 * Clones by path: a file, or a directory with everything below it. A clone shares all data and has all that
 * belongs to a file: permissions, owner, times, attributes, hard links among the files cloned. Each file is an
 * operation of its own and there whole or not at all.
 */

import { ATTR_NAMESPACE_MASK } from '../format/attr.js';
import { S_IF, type Timespec } from '../format/dinode.js';
import { setAttr } from '../transaction/attr.js';
import type { LiveInode } from '../transaction/inode.js';
import { setTarget, targetOf } from '../transaction/symlink.js';
import type { Transaction } from '../transaction/transaction.js';
import { attrValue, walkAttrs } from '../volume/attr.js';
import { openVolume, type Volume } from '../volume/volume.js';
import { addName, checkFree, createAt, linkInode, type NewFile, newInode } from './create.js';
import { type Edit, type Path, pathBytes, type Slot } from './edit.js';
import { EditError } from './error.js';
import { createFilled } from './hidden.js';
import { checkEnd, readableFile, regularFile } from './regular.js';
import { type CloneRange, checkRange, cloneOver, cloneRange, cloneSteps, requireReflink } from './share.js';
import { destinations } from './target.js';
import { joinPath } from './walk.js';

/** Clones what one path names to another; below it where that is a directory. Throws PathError, EditError. */
export function clone(edit: Edit, from: Path, to: Path): void {
  requireReflink(edit);
  const source = edit.resolve(from);
  const path = destinations(edit, [from], to)[0];
  const slot = edit.slot(path);
  if (source.isRegular && slot.entry !== undefined) {
    const target = regularFile(edit, path);
    if (target.ino === source.ino) throw new EditError('EINVAL', path, 'the file itself');
    cloneOver(edit, source.ino, target.ino);
    return;
  }
  if (source.isDir && isBelow(edit, slot.dir, source.ino))
    throw new EditError('EINVAL', path, 'a directory cannot be cloned into itself');
  // Attributes are read from the image: nothing may be newer in memory.
  edit.engine.settle();
  new TreeClone(edit).file(source, slot);
}

/** Shares a range of bytes of one file with another, which is made where it is missing. */
export function clonePart(edit: Edit, from: Path, to: Path, range: CloneRange): void {
  requireReflink(edit);
  const source = readableFile(edit, from);
  const slot = edit.slot(to);
  const target = slot.entry === undefined ? undefined : regularFile(edit, to);
  const length = range.length === 0n ? source.exactSize - range.from : range.length;
  const whole = { ...range, length };
  const wrong = checkRange(edit, source, target, whole);
  if (wrong !== undefined)
    throw new EditError('EINVAL', pathBytes(wrong.side === 'source' ? from : to), wrong.why);
  checkEnd(to, range.to + length);
  if (target !== undefined) cloneRange(edit, source.ino, target.ino, whole);
  else
    createFilled(edit, slot, { mode: S_IF.REG | 0o666 }, (ino) => cloneRange(edit, source.ino, ino, whole));
}

/** Whether a directory is `ancestor` or lies below it. */
function isBelow(edit: Edit, dir: LiveInode, ancestor: number): boolean {
  const dots = Uint8Array.of(0x2e, 0x2e);
  for (let at = dir; ; ) {
    if (at.ino === ancestor) return true;
    const up = edit.lookup(at, dots);
    if (up === undefined || up.ino === at.ino) return false;
    at = edit.inode(up.ino);
  }
}

class TreeClone {
  readonly #edit: Edit;
  readonly #volume: Volume;
  /** Clones of files with several names. */
  readonly #links = new Map<number, number>();

  constructor(edit: Edit) {
    this.#edit = edit;
    this.#volume = openVolume(edit.source);
  }

  /** Clones a file of any kind to where no name stands yet. */
  file(source: LiveInode, slot: Slot): void {
    const known = this.#links.get(source.ino);
    if (known !== undefined) {
      linkInode(this.#edit, this.#edit.inode(known), slot, slot.path);
      return;
    }
    const ino = source.isDir ? this.#directory(source, slot) : this.#leaf(source, slot);
    if (source.nlink > 1 && !source.isDir) this.#links.set(source.ino, ino);
  }

  #leaf(source: LiveInode, slot: Slot): number {
    const edit = this.#edit;
    const file = likeness(source);
    const { atime, mtime } = source;
    if (source.isRegular) return this.#regular(source, slot, file);
    return createAt(edit, slot, file, (tx, inode) => {
      if (source.type === S_IF.LNK) setTarget(tx, inode, targetOf(tx, source));
      this.#attributes(tx, source, inode);
      setTimes(tx, inode, atime, mtime);
    });
  }

  #regular(source: LiveInode, slot: Slot, file: NewFile): number {
    const edit = this.#edit;
    const { atime, mtime } = source;
    const steps = cloneSteps(edit, source.ino);
    const complete = (tx: Transaction, inode: LiveInode): void => {
      this.#attributes(tx, source, inode);
      setTimes(tx, inode, atime, mtime);
    };
    checkFree(slot, false);
    if (steps.length === 1)
      return edit.run((tx, now) => {
        const inode = newInode(edit, tx, slot.dir, file, now);
        steps[0](tx, inode);
        complete(tx, inode);
        addName(tx, slot.dir, slot.name, inode, now);
        return inode.ino;
      });
    return createFilled(
      edit,
      slot,
      file,
      (ino) => {
        for (const step of steps) edit.run((tx) => step(tx, edit.inode(ino)));
      },
      complete,
    );
  }

  #directory(source: LiveInode, slot: Slot): number {
    const edit = this.#edit;
    const { atime, mtime } = source;
    const ino = createAt(edit, slot, likeness(source), (tx, inode) => this.#attributes(tx, source, inode));
    for (const { name, ino: child } of edit.list(source)) {
      const path = joinPath(slot.path, name);
      this.file(edit.inode(child), { dir: edit.inode(ino), name, path, slash: false, entry: undefined });
    }
    edit.run((tx) => setTimes(tx, edit.inode(ino), atime, mtime));
    return ino;
  }

  #attributes(tx: Transaction, source: LiveInode, target: LiveInode): void {
    if (!source.hasAttrFork) return;
    walkAttrs(this.#volume, source, (a) => {
      setAttr(
        tx,
        target,
        a.flags & ATTR_NAMESPACE_MASK,
        a.name.slice(),
        attrValue(this.#volume, source, a).slice(),
      );
    });
  }
}

/** What a clone is made as. */
const likeness = (source: LiveInode): NewFile => ({
  mode: source.mode,
  exact: true,
  noAcl: true,
  uid: source.uid,
  gid: source.gid,
  rdev:
    source.type === S_IF.CHR || source.type === S_IF.BLK ? source.view.getUint32(source.dataAt) : undefined,
});

function setTimes(tx: Transaction, inode: LiveInode, atime: Timespec, mtime: Timespec): void {
  tx.editInode(inode);
  inode.setTime('atime', atime);
  inode.setTime('mtime', mtime);
}
