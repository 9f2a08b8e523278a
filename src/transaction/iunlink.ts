/**
 * Unlinked inodes: files with no name left that are not freed yet hang on one of 64 lists of their AGI, so
 * that recovery finds them. The links are in the inodes, logged by way of their cluster. Rules: xfs_inode.c.
 */
import { AGI, AGI_UNLINKED_BUCKETS } from '../format/ag.js';
import { DINODE } from '../format/dinode.js';
import { CorruptionError } from '../format/fault.js';
import { aginoOfIno, agnoOfIno, inoOf } from '../format/geometry.js';
import { NULLAGINO } from '../format/superblock.js';
import type { LiveInode } from './inode.js';
import type { Transaction } from './transaction.js';

const bucketAt = (agino: number): number => AGI.at.unlinked + (agino % AGI_UNLINKED_BUCKETS) * 4;

function setNext(tx: Transaction, inode: LiveInode, agino: number): void {
  tx.editUnlinked(inode.buffer, inode.base + DINODE.at.next_unlinked);
  inode.setNextUnlinked(agino);
}

/** Puts an inode at the head of its list. */
export function addUnlinked(tx: Transaction, inode: LiveInode): void {
  const { g } = tx.engine;
  const agino = aginoOfIno(g, inode.ino);
  const agi = tx.engine.agi(agnoOfIno(g, inode.ino));
  const head = agi.view.getUint32(bucketAt(agino));
  if (head === agino) broken(inode.ino, head, 'another inode: this one is being added');
  if (head !== NULLAGINO || inode.nextUnlinked !== NULLAGINO) setNext(tx, inode, head);
  tx.put32(agi, bucketAt(agino), agino);
}

/** Takes an inode off its list, wherever in it it is. */
export function removeUnlinked(tx: Transaction, inode: LiveInode): void {
  const { engine } = tx;
  const { g } = engine;
  const agno = agnoOfIno(g, inode.ino);
  const agino = aginoOfIno(g, inode.ino);
  const agi = engine.agi(agno);
  const next = inode.nextUnlinked;
  let at = agi.view.getUint32(bucketAt(agino));
  if (at === agino) tx.put32(agi, bucketAt(agino), next);
  else {
    const seen = new Set<number>();
    for (;;) {
      if (at === NULLAGINO || seen.has(at)) broken(inode.ino, at, 'a list that holds the inode');
      seen.add(at);
      const before = engine.inode(inoOf(g, agno, at));
      at = before.nextUnlinked;
      if (at !== agino) continue;
      setNext(tx, before, next);
      break;
    }
  }
  if (next !== NULLAGINO) setNext(tx, inode, NULLAGINO);
}

/** First inode of a list; undefined where it is empty. */
export function firstUnlinked(tx: Transaction, agno: number, bucket: number): number | undefined {
  const { engine } = tx;
  const agino = engine.agi(agno).view.getUint32(AGI.at.unlinked + bucket * 4);
  return agino === NULLAGINO ? undefined : inoOf(engine.g, agno, agino);
}

function broken(ino: number, value: number, expected: string): never {
  throw new CorruptionError({ structure: 'agi', ino, field: 'unlinked', value, expected });
}
