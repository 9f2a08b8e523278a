/** Feature bits of the v5 superblock, as of Linux 6.18 (xfs_format.h). */
export const RO_COMPAT = { FINOBT: 1 << 0, RMAPBT: 1 << 1, REFLINK: 1 << 2, INOBTCNT: 1 << 3 } as const;

export const INCOMPAT = {
  FTYPE: 1 << 0,
  SPINODES: 1 << 1,
  META_UUID: 1 << 2,
  BIGTIME: 1 << 3,
  NEEDSREPAIR: 1 << 4,
  NREXT64: 1 << 5,
  EXCHRANGE: 1 << 6,
  PARENT: 1 << 7,
  METADIR: 1 << 8,
  ZONED: 1 << 9,
  ZONE_GAPS: 1 << 10,
} as const;

export const LOG_INCOMPAT = { XATTRS: 1 << 0 } as const;

/** The features in force, one boolean each: what most code asks for. */
export interface Features {
  readonly finobt: boolean;
  readonly rmapbt: boolean;
  readonly reflink: boolean;
  readonly inobtcount: boolean;
  readonly ftype: boolean;
  readonly sparseInodes: boolean;
  readonly metaUuid: boolean;
  readonly bigtime: boolean;
  readonly needsrepair: boolean;
  readonly nrext64: boolean;
  readonly exchangeRange: boolean;
  readonly parent: boolean;
  readonly metadir: boolean;
}

export function featuresOf(roCompat: number, incompat: number): Features {
  return {
    finobt: (roCompat & RO_COMPAT.FINOBT) !== 0,
    rmapbt: (roCompat & RO_COMPAT.RMAPBT) !== 0,
    reflink: (roCompat & RO_COMPAT.REFLINK) !== 0,
    inobtcount: (roCompat & RO_COMPAT.INOBTCNT) !== 0,
    ftype: (incompat & INCOMPAT.FTYPE) !== 0,
    sparseInodes: (incompat & INCOMPAT.SPINODES) !== 0,
    metaUuid: (incompat & INCOMPAT.META_UUID) !== 0,
    bigtime: (incompat & INCOMPAT.BIGTIME) !== 0,
    needsrepair: (incompat & INCOMPAT.NEEDSREPAIR) !== 0,
    nrext64: (incompat & INCOMPAT.NREXT64) !== 0,
    exchangeRange: (incompat & INCOMPAT.EXCHRANGE) !== 0,
    parent: (incompat & INCOMPAT.PARENT) !== 0,
    metadir: (incompat & INCOMPAT.METADIR) !== 0,
  };
}
