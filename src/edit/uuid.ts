/**
 * The UUID. Every block of metadata carries the one the filesystem was made with, so another is written into
 * the superblocks alone: sb_uuid is the new one, sb_meta_uuid keeps the old, and the meta_uuid feature says so
 * (xfs_format.h XFS_SB_FEAT_INCOMPAT_META_UUID).
 *
 * The log's records carry sb_uuid as well, and Linux refuses a log whose last record has another. It takes
 * zeros there for a record of IRIX, which wrote none. So the order is
 *
 *   1. an unmount record without a UUID
 *   2. the primary superblock, one sector
 *   3. an unmount record with the new UUID
 *   4. the other superblocks
 *
 * each on stable storage before the next begins, and after each of them, torn or not, Linux mounts.
 */
import { randomUUID } from 'node:crypto';
import { sealCrc } from '../format/checksum.js';
import { INCOMPAT } from '../format/features.js';
import type { Geometry } from '../format/geometry.js';
import { parseUuid, viewOf } from '../format/structure.js';
import { SUPERBLOCK, setFeatureBits } from '../format/superblock.js';
import type { Source } from '../image/source.js';
import { LogWriter } from '../journal/append.js';
import { LogDevice } from '../journal/device.js';
import { scanLog } from '../journal/scan.js';
import { openVolume } from '../volume/volume.js';
import type { Edit } from './edit.js';
import { changeSecondaries } from './secondaries.js';

const AT = SUPERBLOCK.at;
const NIL = '00000000-0000-0000-0000-000000000000';

export class UuidError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UuidError';
  }
}

/** Appends an unmount record with this UUID. */
function stampLog(source: Source, g: Geometry, uuid: string): void {
  const state = scanLog(source, g);
  new LogWriter({ ...state, device: new LogDevice(source, { ...g, uuid }) }).unmount();
  source.sync();
}

/**
 * Gives the filesystem another UUID: 'generate' makes a random one, 'restore' brings back the one it was made
 * with. Nothing else may have been done with `edit`, nor be done after it. Throws UuidError for a UUID there
 * cannot be. Returns the new one, and the AGs whose superblocks did not verify and keep the old.
 */
export function setUuid(edit: Edit, wanted: string): { uuid: string; left: number[] } {
  const { source, g } = edit;
  const uuid = wanted === 'generate' ? randomUUID() : wanted === 'restore' ? g.metaUuid : wanted;
  const to = new Uint8Array(16);
  try {
    parseUuid(uuid, viewOf(to), 0);
  } catch {
    throw new UuidError(`'${uuid}' is no UUID: 32 hexadecimal digits, with dashes or without, are expected`);
  }
  if (to.every((b) => b === 0))
    throw new UuidError('a filesystem whose UUID is zeros cannot be mounted: Linux refuses it');
  // Where it is the first one again the feature is not needed.
  const own = to.every((b, i) => b === g.metaUuidBytes[i]);
  const change = (sector: Uint8Array): void => {
    sector.set(to, AT.uuid);
    setFeatureBits(sector, 'features_incompat', INCOMPAT.META_UUID, !own);
    sector.fill(0, AT.meta_uuid, AT.meta_uuid + 16);
    if (!own) sector.set(g.metaUuidBytes, AT.meta_uuid);
  };
  stampLog(source, g, NIL);
  const primary = new Uint8Array(g.sectsize);
  source.read(0, primary);
  change(primary);
  sealCrc(primary, AT.crc);
  source.write(0, primary);
  source.sync();
  const now = openVolume(source).g;
  stampLog(source, now, now.uuid);
  return { uuid: now.uuid, left: changeSecondaries(source, now, change) };
}
