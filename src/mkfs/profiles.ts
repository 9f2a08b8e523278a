/**
 * Feature sets: what mkfs.xfs made by default when a Linux long-term release came out, so that its kernel
 * mounts the image (the mkfs/*.conf files of xfsprogs).
 */
export interface FeatureChoice {
  readonly finobt: boolean;
  readonly inobtcount: boolean;
  readonly rmapbt: boolean;
  readonly reflink: boolean;
  readonly bigtime: boolean;
  readonly sparseInodes: boolean;
  readonly nrext64: boolean;
}

/** mkfs.xfs 6.1's choice, and rmapbt: with it a lost mapping can be restored. */
export const DEFAULT_FEATURES: FeatureChoice = {
  finobt: true,
  inobtcount: true,
  rmapbt: true,
  reflink: true,
  bigtime: true,
  sparseInodes: true,
  nrext64: false,
};

const LTS_4_19: FeatureChoice = {
  finobt: true,
  inobtcount: false,
  rmapbt: false,
  reflink: false,
  bigtime: false,
  sparseInodes: true,
  nrext64: false,
};
const LTS_5_4: FeatureChoice = { ...LTS_4_19, reflink: true };
const LTS_5_15: FeatureChoice = { ...LTS_5_4, inobtcount: true, bigtime: true };
const LTS_6_6: FeatureChoice = { ...LTS_5_15, rmapbt: true, nrext64: true };

export const PROFILES: Readonly<Record<string, FeatureChoice>> = {
  'lts_4.19': LTS_4_19,
  'lts_5.4': LTS_5_4,
  'lts_5.10': LTS_5_4,
  'lts_5.15': LTS_5_15,
  'lts_6.1': LTS_5_15,
  'lts_6.6': LTS_6_6,
  'lts_6.12': LTS_6_6,
};
