/**
 * Dropping a log that cannot be replayed. What it held is lost; what matters is that nothing on disk seems
 * to come from the future of the new log: it begins in a cycle past every LSN there is.
 */
import { AGF, AGFL, AGI } from '../format/ag.js';
import type { AgBtreeName } from '../format/btree.js';
import { DINODE, S_IF } from '../format/dinode.js';
import { fsblockOffset, type Geometry } from '../format/geometry.js';
import { identityOf } from '../format/identity.js';
import {
  BBSIZE,
  LOG_RECORD_HEADER,
  type Lsn,
  nextCycle,
  writeLsn,
  XLOG_FMT,
  XLOG_HEADER_MAGIC,
  XLOG_VERSION,
} from '../format/log.js';
import { parseUuid, viewOf } from '../format/structure.js';
import { SUPERBLOCK } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { agTree, hasBtree, walkBlocks } from '../volume/btree.js';
import { walkExtents, walkForkBlocks } from '../volume/fork.js';
import { walkInodes } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';
import { LogDevice } from './device.js';
import { unmountRecord } from './emptylog.js';

const TREES: readonly AgBtreeName[] = ['bnobt', 'cntbt', 'inobt', 'finobt', 'rmapbt', 'refcountbt'];
const NO_CYCLE = 0xffff_ffff;
/** Blocks of the log written in one go. */
const RUN = 2048;

/**
 * The highest cycle of any LSN in the filesystem's metadata and of the log's own headers. What does not
 * verify is passed over: Linux does not ask how new that is either.
 */
export function highestCycle(volume: Volume): number {
  const { g } = volume;
  let highest = 0;
  const take = (v: DataView, at: number): void => {
    const cycle = v.getUint32(at);
    if (cycle !== NO_CYCLE && cycle > highest) highest = cycle;
  };
  const ignore = (): void => {};
  for (let agno = 0; agno < g.agcount; agno++) {
    for (const [header, at] of [
      ['sb', SUPERBLOCK.at.lsn],
      ['agf', AGF.at.lsn],
      ['agi', AGI.at.lsn],
      ['agfl', AGFL.at.lsn],
    ] as const)
      if (identityOf(volume.header(agno, header), 0)?.lsn === at) take(volume.header(agno, header), at);
    for (const name of TREES) {
      if (!hasBtree(g, name)) continue;
      walkBlocks(
        volume,
        agTree(volume, agno, name, ignore),
        (block) => {
          const identity = identityOf(block, 0);
          if (identity !== undefined) take(block, identity.lsn);
        },
        ignore,
      );
    }
    walkInodes(
      volume,
      (inode, allocated) => {
        take(inode.view, inode.base + DINODE.at.lsn);
        if (!allocated) return;
        for (const fork of ['data', 'attr'] as const) {
          walkForkBlocks(
            volume,
            inode,
            fork,
            (_agno, _agbno, _level, block) => take(block, identityOf(block, 0)?.lsn ?? 0),
            ignore,
          );
          // The blocks of files alone are no metadata.
          if (fork === 'data' && inode.type !== S_IF.DIR && inode.type !== S_IF.LNK) continue;
          walkExtents(volume, inode, fork, (_offset, fsblock, blocks) => takeBlocks(fsblock, blocks), ignore);
        }
      },
      { agno, free: true, report: ignore },
    );
  }
  return Math.max(highest, highestLogCycle(volume.source, g));

  function takeBlocks(fsblock: number, blocks: number): void {
    const head = new Uint8Array(BBSIZE);
    const v = viewOf(head);
    for (let i = 0; i < blocks; i++) {
      volume.source.read(fsblockOffset(g, fsblock + i), head);
      const identity = identityOf(v, 0);
      if (identity === undefined) continue;
      if (g.metaUuidBytes.every((b, at) => head[identity.uuid + at] === b)) take(v, identity.lsn);
    }
  }
}

/** The highest cycle among the record headers of this filesystem's log. */
function highestLogCycle(source: Source, g: Geometry): number {
  const start = fsblockOffset(g, g.logstart);
  const blocks = Math.floor((g.logblocks * g.blocksize) / BBSIZE);
  const uuid = new Uint8Array(16);
  parseUuid(g.uuid, viewOf(uuid), 0);
  const chunk = new Uint8Array(RUN * BBSIZE);
  const v = viewOf(chunk);
  let highest = 0;
  for (let block = 0; block < blocks; block += RUN) {
    const count = Math.min(RUN, blocks - block);
    source.read(start + block * BBSIZE, chunk.subarray(0, count * BBSIZE));
    for (let at = 0; at < count * BBSIZE; at += BBSIZE) {
      if (v.getUint32(at) !== XLOG_HEADER_MAGIC) continue;
      const cycle = v.getUint32(at + LOG_RECORD_HEADER.at.cycle);
      if (cycle === NO_CYCLE || cycle <= highest) continue;
      if (uuid.every((b, i) => chunk[at + LOG_RECORD_HEADER.at.fs_uuid + i] === b)) highest = cycle;
    }
  }
  return highest;
}

/**
 * Writes an empty log: an unmount record of `cycle` at its start, and behind it what looks like the cycle
 * before. Waits for stable storage.
 */
export function clearLog(source: Source, g: Geometry, cycle: number): void {
  const device = new LogDevice(source, g);
  const lsn: Lsn = { cycle, block: 0 };
  const record = unmountRecord({ uuid: device.uuid, sunit: g.logsunit, lsn });
  const bytes = new Uint8Array(RUN * BBSIZE);
  const v = viewOf(bytes);
  const H = LOG_RECORD_HEADER.at;
  const first = record.length / BBSIZE;
  // From behind: as long as the old head stands, the log is no emptier than it was.
  for (let end = device.blocks; end > first; ) {
    const count = Math.min(RUN, end - first);
    const from = end - count;
    for (let i = 0; i < count; i++) {
      const at = i * BBSIZE;
      v.setUint32(at + H.magicno, XLOG_HEADER_MAGIC);
      v.setUint32(at + H.cycle, cycle - 1);
      v.setUint32(at + H.version, XLOG_VERSION.V2);
      writeLsn(v, at + H.lsn, { cycle: cycle - 1, block: from + i });
      writeLsn(v, at + H.tail_lsn, { cycle: cycle - 1, block: from + i });
      v.setUint32(at + H.fmt, XLOG_FMT.LINUX_LE);
      bytes.set(device.uuid, at + H.fs_uuid);
    }
    source.write(device.start + from * BBSIZE, bytes.subarray(0, count * BBSIZE));
    end = from;
  }
  source.write(device.start, record);
  source.sync();
}

/**
 * Drops whatever the log holds. Returns the LSN at which the empty one begins. The metadata is what it was
 * when the log was last written back: repair has to look at it.
 */
export function dropLog(volume: Volume): Lsn {
  const cycle = nextCycle(highestCycle(volume));
  clearLog(volume.source, volume.g, cycle);
  return { cycle, block: 0 };
}
