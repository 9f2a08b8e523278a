/**
 * An AG's btrees read record by record, each record checked, and what they add up to held against the
 * counters of the AG's headers. A walk that met damage is not held against anything: it counted too little.
 */
import { AGF, AGI } from '../format/ag.js';
import { AG_BTREE_ROOT, type AgBtreeName, BTREES } from '../format/btree.js';
import type { Fault, Report } from '../format/fault.js';
import { agLength, type Geometry, INODES_PER_CHUNK } from '../format/geometry.js';
import { AllocCheck, RefcountCheck, RmapCheck } from '../format/records.js';
import { agTreeOf, hasBtree, walkBlocks } from './btree.js';
import { type InodeChunk, newChunk, readChunk, verifyChunk } from './inode.js';
import { agflBlocks, type Volume } from './volume.js';

/** Takes a record: the leaf and the byte at which it stands, and whether it can be true. */
export type RecordVisitor = (leaf: DataView, at: number, ok: boolean) => void;

/** What a walk of one AG btree added up to. */
export interface TreeTally {
  /** Blocks of the tree itself. */
  blocks: number;
  records: number;
  /** bnobt, cntbt: free blocks. inobt, finobt: inodes. */
  sum: number;
  /** bnobt, cntbt: the longest extent. */
  longest: number;
  /** inobt, finobt: free inodes. */
  free: number;
  /** Nothing was found wrong on the way, so the numbers are whole. */
  sound: boolean;
}

const newTally = (): TreeTally => ({ blocks: 0, records: 0, sum: 0, longest: 0, free: 0, sound: false });

interface LeafCheck {
  take(v: DataView, at: number, index: number, agbno: number): boolean;
}

/** The inode btrees' records: what one says of itself, and that chunks do not overlap. */
class ChunkCheck implements LeafCheck {
  readonly #g: Geometry;
  readonly #tree: 'inobt' | 'finobt';
  readonly #agno: number;
  readonly #report: Report;
  #end = 0;
  readonly chunk: InodeChunk = newChunk();

  constructor(tree: 'inobt' | 'finobt', g: Geometry, agno: number, report: Report) {
    this.#g = g;
    this.#tree = tree;
    this.#agno = agno;
    this.#report = report;
  }

  take(v: DataView, at: number, index: number, agbno: number): boolean {
    const { chunk } = this;
    readChunk(this.#g, v, at, chunk);
    let ok = verifyChunk(this.#g, this.#tree, this.#agno, agbno, index, chunk, this.#report);
    const bad = (field: string, value: number, expected: string): void => {
      ok = false;
      const where = { structure: this.#tree, agno: this.#agno, agbno };
      this.#report({ ...where, field: `recs[${index + 1}].${field}`, value, expected });
    };
    if (chunk.agino < this.#end) bad('startino', chunk.agino, `${this.#end} or more, past the chunk before`);
    this.#end = Math.max(this.#end, chunk.agino + INODES_PER_CHUNK);
    if (this.#tree === 'finobt' && chunk.freecount === 0) bad('freecount', 0, 'above 0 in the finobt');
    return ok;
  }
}

function checkOf(g: Geometry, name: AgBtreeName, agno: number, report: Report): LeafCheck {
  if (name === 'bnobt' || name === 'cntbt') return new AllocCheck(name, g, agno, report);
  if (name === 'rmapbt') return new RmapCheck(g, agno, report);
  if (name === 'refcountbt') return new RefcountCheck(g, agno, report);
  return new ChunkCheck(name, g, agno, report);
}

/** What a record adds to the tally. */
function count(name: AgBtreeName, check: LeafCheck, v: DataView, at: number, tally: TreeTally): void {
  tally.records++;
  if (name === 'bnobt' || name === 'cntbt') {
    const blocks = v.getUint32(at + 4);
    tally.sum += blocks;
    if (blocks > tally.longest) tally.longest = blocks;
  } else if (check instanceof ChunkCheck) {
    tally.sum += check.chunk.count;
    tally.free += check.chunk.freecount;
  }
}

/**
 * Visits every record of an AG btree in order, those that cannot be true too (`ok` false), and compares what
 * they add up to with the AG's header. `header` is the AGF or AGI, where the caller has it already; `onBlock`
 * takes the tree's own blocks.
 */
export function walkRecords(
  volume: Volume,
  agno: number,
  name: AgBtreeName,
  visit: RecordVisitor | undefined,
  report: Report = volume.report,
  header?: DataView,
  onBlock?: (agbno: number) => void,
): TreeTally {
  const { g } = volume;
  const place = AG_BTREE_ROOT[name];
  const kind = BTREES[name];
  const of = header ?? (place.header === 'agf' ? volume.agf(agno, report) : volume.agi(agno, report));
  const tally = newTally();
  let faults = 0;
  const counting: Report = (fault) => {
    faults++;
    report(fault);
  };
  const check = checkOf(g, name, agno, counting);
  const first = kind.header.size;
  const stride = kind.record.size;
  walkBlocks(
    volume,
    agTreeOf(g, agno, name, of),
    (block, level, _agno, agbno) => {
      tally.blocks++;
      onBlock?.(agbno);
      if (level > 0) return;
      const numrecs = block.getUint16(kind.header.at.numrecs);
      for (let i = 0, at = first; i < numrecs; i++, at += stride) {
        const ok = check.take(block, at, i, agbno);
        count(name, check, block, at, tally);
        visit?.(block, at, ok);
      }
    },
    counting,
  );
  tally.sound = faults === 0;
  if (tally.blocks === 0) reportRoot(volume, agno, name, of, report);
  if (tally.sound) compareCounters(g, agno, name, of, tally, report);
  return tally;
}

const nameAt = (table: typeof AGF | typeof AGI, at: number): string =>
  table.fields.find((f) => f.offset === at)!.name;

/** A root that does not verify: either the header's pointer is wrong, or its idea of the tree's height. */
function reportRoot(volume: Volume, agno: number, name: AgBtreeName, header: DataView, report: Report): void {
  const { g } = volume;
  const place = AG_BTREE_ROOT[name];
  const kind = BTREES[name];
  const root = header.getUint32(place.root);
  if (root === 0 || root >= agLength(g, agno)) return; // the header's own check has said so
  const block = volume.block(agno, root);
  const right = block.getUint32(0) === kind.magic && block.getUint32(kind.header.at.owner) === agno;
  const level = block.getUint16(kind.header.at.level) + 1;
  const at = right && level !== header.getUint32(place.level) ? place.level : place.root;
  const table = place.header === 'agf' ? AGF : AGI;
  const field = nameAt(table, at);
  const expected =
    at === place.level
      ? `${level}, by the level of the block that ${nameAt(table, place.root)} names`
      : `the root of the ${name}`;
  report({ structure: place.header, agno, agbno: 0, field, value: header.getUint32(at), expected });
}

function compareCounters(
  g: Geometry,
  agno: number,
  name: AgBtreeName,
  header: DataView,
  tally: TreeTally,
  report: Report,
): void {
  const same = (structure: 'agf' | 'agi', field: string, at: number, found: number, what: string): void => {
    const value = header.getUint32(at);
    if (value !== found) report({ structure, agno, agbno: 0, field, value, expected: `${found}, ${what}` });
  };
  switch (name) {
    case 'bnobt':
    case 'cntbt':
      same('agf', 'freeblks', AGF.at.freeblks, tally.sum, `the free blocks in the ${name}`);
      same('agf', 'longest', AGF.at.longest, tally.longest, `the longest extent in the ${name}`);
      break;
    case 'rmapbt':
      same('agf', 'rmapblocks', AGF.at.rmapblocks, tally.blocks, 'the blocks of the rmapbt');
      break;
    case 'refcountbt':
      same('agf', 'refcntblocks', AGF.at.refcntblocks, tally.blocks, 'the blocks of the refcountbt');
      break;
    case 'inobt':
      same('agi', 'count', AGI.at.count, tally.sum, 'the inodes of the inobt');
      same('agi', 'freecount', AGI.at.freecount, tally.free, 'the free inodes of the inobt');
      if (g.features.inobtcount)
        same('agi', 'ino_blocks', AGI.at.ino_blocks, tally.blocks, 'the blocks of the inobt');
      break;
    case 'finobt':
      same('agi', 'freecount', AGI.at.freecount, tally.free, 'the free inodes of the finobt');
      if (g.features.inobtcount)
        same('agi', 'fino_blocks', AGI.at.fino_blocks, tally.blocks, 'the blocks of the finobt');
      break;
  }
}

/** One fault once, however many walks meet it. */
function onlyNew(report: Report): Report {
  const seen = new Set<string>();
  return (fault: Fault) => {
    const key = `${fault.structure} ${fault.agno} ${fault.agbno} ${fault.ino} ${fault.field} ${fault.value}`;
    if (seen.has(key)) return;
    if (seen.size < 10_000) seen.add(key);
    report(fault);
  };
}

/**
 * Checks the AGF of an AG, its free list, and the four btrees it leads to, against each other too. Memory: the
 * longest of them is never held, only the free list is.
 */
export function checkFreeSpace(volume: Volume, agno: number, report: Report = volume.report): void {
  const { g } = volume;
  const once = onlyNew(report);
  const agf = volume.agf(agno, once);
  const agfl = volume.agfl(agno, agf, once);
  const list = agflBlocks(g, agf, agfl);
  const listed = new Map<number, number>();
  const badList = (slot: number, expected: string): void =>
    once({ structure: 'agfl', agno, agbno: 0, field: `bno[${slot}]`, value: list[slot], expected });
  list.forEach((agbno, i) => {
    if (listed.has(agbno)) badList(i, 'a block that is listed once');
    else listed.set(agbno, i);
  });
  const sorted = Uint32Array.from(listed.keys()).sort();
  /** Calls back for each listed block in [start, start + blocks). */
  const eachListed = (start: number, blocks: number, fn: (agbno: number) => void): void => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle] < start) low = middle + 1;
      else high = middle;
    }
    for (; low < sorted.length && sorted[low] < start + blocks; low++) fn(sorted[low]);
  };
  const inTree = (agbno: number): void => {
    const i = listed.get(agbno);
    if (i !== undefined) badList(i, 'no block of a btree');
  };
  const bnobt = walkRecords(
    volume,
    agno,
    'bnobt',
    (v, at) =>
      eachListed(v.getUint32(at), v.getUint32(at + 4), (agbno) =>
        badList(listed.get(agbno)!, 'a block outside the free space of the bnobt'),
      ),
    once,
    agf,
    inTree,
  );
  const cntbt = walkRecords(volume, agno, 'cntbt', undefined, once, agf, inTree);
  let blocks = bnobt.blocks + cntbt.blocks - 2;
  let sound = bnobt.sound && cntbt.sound;
  if (bnobt.sound && cntbt.sound && bnobt.records !== cntbt.records)
    once({
      structure: 'cntbt',
      agno,
      field: 'records',
      value: cntbt.records,
      expected: `${bnobt.records}, as in the bnobt`,
    });
  if (hasBtree(g, 'rmapbt')) {
    const owned = new Set<number>();
    const rmapbt = walkRecords(
      volume,
      agno,
      'rmapbt',
      (v, at) => {
        const ofAg = v.getInt32(at + 8) === -1 && v.getInt32(at + 12) === -5;
        if (ofAg) eachListed(v.getUint32(at), v.getUint32(at + 4), (agbno) => owned.add(agbno));
      },
      once,
      agf,
      inTree,
    );
    blocks += rmapbt.blocks - 1;
    sound &&= rmapbt.sound;
    if (rmapbt.sound)
      for (const [agbno, i] of listed) if (!owned.has(agbno)) badList(i, "a block the rmapbt calls the AG's");
  }
  if (sound && agf.getUint32(AGF.at.btreeblks) !== blocks)
    once({
      structure: 'agf',
      agno,
      agbno: 0,
      field: 'btreeblks',
      value: agf.getUint32(AGF.at.btreeblks),
      expected: `${blocks}, the blocks of bnobt, cntbt and rmapbt without their roots`,
    });
  if (hasBtree(g, 'refcountbt')) walkRecords(volume, agno, 'refcountbt', undefined, once, agf, inTree);
}

/** Checks the AGI of an AG and its inode btrees, against each other too. */
export function checkInodeTrees(volume: Volume, agno: number, report: Report = volume.report): void {
  const { g } = volume;
  const once = onlyNew(report);
  const agi = volume.agi(agno, once);
  // Records of the inobt with free inodes: what the finobt must hold. Four words a record.
  let expected = new Uint32Array(1024);
  let n = 0;
  const withFinobt = hasBtree(g, 'finobt');
  const chunk = newChunk();
  const inobt = walkRecords(
    volume,
    agno,
    'inobt',
    (v, at) => {
      readChunk(g, v, at, chunk);
      if (!withFinobt || chunk.freecount === 0) return;
      if (n + 4 > expected.length) {
        const longer = new Uint32Array(expected.length * 2);
        longer.set(expected);
        expected = longer;
      }
      for (let i = 0; i < 4; i++) expected[n++] = v.getUint32(at + i * 4);
    },
    once,
    agi,
  );
  if (!withFinobt) return;
  let met = 0;
  let differs: { startino: number; expected: string } | undefined;
  const finobt = walkRecords(
    volume,
    agno,
    'finobt',
    (v, at) => {
      let same = met + 4 <= n;
      for (let i = 0; same && i < 4; i++) same = v.getUint32(at + i * 4) === expected[met + i];
      if (!same && differs === undefined)
        differs = {
          startino: v.getUint32(at),
          expected:
            met < n ? `the inobt's record of inode ${expected[met]}` : 'no record: the inobt has no more',
        };
      met += 4;
    },
    once,
    agi,
  );
  if (!inobt.sound || !finobt.sound) return;
  if (differs === undefined && met < n)
    differs = { startino: expected[met], expected: 'a record here, as the inobt has free inodes in it' };
  if (differs !== undefined)
    once({
      structure: 'finobt',
      agno,
      field: 'startino',
      value: differs.startino,
      expected: differs.expected,
    });
}

/** Everything about one AG that its headers and btrees say of themselves and of each other. */
export function checkAg(volume: Volume, agno: number, report: Report = volume.report): void {
  checkFreeSpace(volume, agno, report);
  checkInodeTrees(volume, agno, report);
}
