/** What the scan of a stretch of inodes comes to, besides the inode table's columns. */
import { Claims } from './columns.js';
import { FaultLog } from './faultlog.js';

/** Dangling entries kept for the report; more are only counted by their directories. */
export const MAX_DANGLING = 10_000;

/** An entry that names no inode that exists: the directory's slot, the inode number, the name. */
export interface Dangling {
  dir: number;
  ino: number;
  name: Uint8Array;
}

/** A file whose block count differs. */
export interface BlockCount {
  slot: number;
  stored: number;
  found: number;
}

/**
 * Everything in slot order, so that the parts of all stretches one after another are what one scan of all
 * inodes gives. Plain data: a thread hands it over as it stands.
 */
export class ScanPart {
  /** Claims by AG. */
  readonly claims: Claims[];
  readonly log: FaultLog;
  /** next_unlinked of inodes in use without links, by slot. */
  readonly nextUnlinked = new Map<number, number>();
  /** '..' of each directory as inode number, by slot. */
  readonly parent = new Map<number, number>();
  readonly dangling: Dangling[] = [];
  readonly blockCounts: BlockCount[] = [];

  constructor(claims: Claims[], log: FaultLog) {
    this.claims = claims;
    this.log = log;
  }

  /** An empty part for a filesystem of `agcount` AGs. */
  static of(agcount: number): ScanPart {
    return new ScanPart(
      Array.from({ length: agcount }, () => new Claims()),
      new FaultLog(),
    );
  }

  /** Adds the part of the next stretch. */
  append(next: ScanPart): void {
    next.claims.forEach((claims, agno) => {
      this.claims[agno].append(claims);
    });
    this.log.append(next.log);
    for (const [slot, agino] of next.nextUnlinked) this.nextUnlinked.set(slot, agino);
    for (const [slot, ino] of next.parent) this.parent.set(slot, ino);
    for (const entry of next.dangling) if (this.dangling.length < MAX_DANGLING) this.dangling.push(entry);
    for (const count of next.blockCounts) this.blockCounts.push(count);
  }
}
