/**
 * Quota files: blocks of records, one for each user, group or project, found by its number. A record that does not
 * hold is reset: its limits are gone, its counts are taken anew by Linux at the next mount with quotas.
 */
import { sameUuid } from '../format/ag.js';
import { crcHolds, sealCrc } from '../format/checksum.js';
import { DQBLK, XFS_DQUOT_MAGIC } from '../format/dquot.js';
import type { Report } from '../format/fault.js';
import { fsblockOffset } from '../format/geometry.js';
import { getU64, viewOf } from '../format/structure.js';
import { QFLAGS_CHECKED, SUPERBLOCK } from '../format/superblock.js';
import { walkExtents } from '../volume/fork.js';
import type { Inode } from '../volume/inode.js';
import type { Volume } from '../volume/volume.js';

const VERSION = 1;
/** Of `type`: its timers are in the scale of large times. */
const BIGTIME = 0x80;

const AT = DQBLK.at;

/** Superblock fields of quota files, with the type their records have. */
const FILES = [
  ['uquotino', 1],
  ['pquotino', 2],
  ['gquotino', 4],
] as const;

/** sb_qflags that say counts are right, and the one that groups and projects once shared (XFS_OQUOTA_CHKD). */
export const QUOTA_CHECKED = QFLAGS_CHECKED | 0x0020;

/** Takes a record that does not hold: its bytes, its number, its block. */
type Take = (record: Uint8Array, id: number, fsblock: number, field: string, value: number) => void;

/** The records of a quota file that do not hold. */
function walkBroken(volume: Volume, inode: Inode, take: Take): void {
  const { g } = volume;
  const type = quotaType(volume, inode.ino);
  if (type === undefined) return;
  const per = Math.floor(g.blocksize / DQBLK.size);
  const block = new Uint8Array(g.blocksize);
  walkExtents(
    volume,
    inode,
    'data',
    (offset, fsblock, blocks) => {
      for (let b = 0; b < blocks; b++) {
        volume.source.read(fsblockOffset(g, fsblock + b), block);
        for (let i = 0; i < per; i++) {
          const record = block.subarray(i * DQBLK.size, (i + 1) * DQBLK.size);
          const id = (offset + b) * per + i;
          const wrong = wrongField(volume, record, type, id);
          if (wrong !== undefined) take(record, id, fsblock + b, wrong.field, wrong.value);
        }
      }
    },
    () => {},
  );
}

/** The type of a quota file's records; undefined where an inode is no quota file. */
function quotaType({ superblock }: Volume, ino: number): number | undefined {
  return FILES.find(([field]) => getU64(superblock, SUPERBLOCK.at[field]) === ino)?.[1];
}

function wrongField(
  { g }: Volume,
  record: Uint8Array,
  type: number,
  id: number,
): { field: string; value: number } | undefined {
  const v = viewOf(record);
  const wrong = (field: keyof typeof AT, value: number): { field: string; value: number } => ({
    field,
    value,
  });
  if (v.getUint16(AT.magic) !== XFS_DQUOT_MAGIC) return wrong('magic', v.getUint16(AT.magic));
  if (!crcHolds(record, AT.crc)) return wrong('crc', v.getUint32(AT.crc, true));
  if (!sameUuid(g, record, AT.uuid)) return wrong('uuid', v.getUint32(AT.uuid));
  if (v.getUint8(AT.version) !== VERSION) return wrong('version', v.getUint8(AT.version));
  const kind = v.getUint8(AT.type);
  const big = (kind & BIGTIME) !== 0;
  if ((kind & ~BIGTIME) !== type || (big && (!g.features.bigtime || id === 0))) return wrong('type', kind);
  if (v.getUint32(AT.id) !== id) return wrong('id', v.getUint32(AT.id));
  if (id === 0) return undefined;
  // Over a soft limit a timer runs.
  for (const [limit, count, timer] of TIMED)
    if (
      getU64(v, AT[limit]) > 0 &&
      getU64(v, AT[count]) > getU64(v, AT[limit]) &&
      v.getUint32(AT[timer]) === 0
    )
      return wrong(timer, 0);
  return undefined;
}

const TIMED = [
  ['blk_softlimit', 'bcount', 'btimer'],
  ['ino_softlimit', 'icount', 'itimer'],
  ['rtb_softlimit', 'rtbcount', 'rtbtimer'],
] as const;

/** Reports the records of a quota file that do not hold. */
export function verifyQuotaFile(volume: Volume, inode: Inode, report: Report): void {
  walkBroken(volume, inode, (_record, id, _fsblock, field, value) =>
    report({
      structure: 'dquot',
      ino: inode.ino,
      field: `record ${id}.${field}`,
      value,
      expected: 'a record that holds: without it there are no limits for this number',
    }),
  );
}

/** Resets them. */
export function resetRecords(volume: Volume, inode: Inode): void {
  const { g } = volume;
  const type = quotaType(volume, inode.ino) ?? 0;
  const per = Math.floor(g.blocksize / DQBLK.size);
  walkBroken(volume, inode, (record, id, fsblock) => {
    record.fill(0);
    const v = viewOf(record);
    v.setUint16(AT.magic, XFS_DQUOT_MAGIC);
    v.setUint8(AT.version, VERSION);
    v.setUint8(AT.type, type | (g.features.bigtime && id > 0 ? BIGTIME : 0));
    v.setUint32(AT.id, id);
    record.set(g.metaUuidBytes, AT.uuid);
    sealCrc(record, AT.crc);
    volume.source.write(fsblockOffset(g, fsblock) + (id % per) * DQBLK.size, record);
  });
  volume.cache.clear();
}
