/** A filesystem made anew in another size: its files moved together, its geometry fit for what it holds. */
import { SUPERBLOCK } from '../format/superblock.js';
import type { Volume } from '../volume/volume.js';
import type { MkfsOptions } from './mkfs.js';
import { fill, type MakeOptions, type MakeResult } from './populate/make.js';
import { VolumeSource } from './populate/volume.js';

/**
 * Copies all files of `volume` into a new filesystem at `path`, with its features, label and UUID. What is
 * shared is shared again with `make.dedupe`. Unwritten extents become holes, unlinked inodes are left behind.
 *
 * @throws CorruptionError where the filesystem is damaged, MkfsError where the new one cannot be
 */
export async function copyFilesystem(
  volume: Volume,
  path: string,
  options: MkfsOptions,
  make: Omit<MakeOptions, 'source' | 'rules'>,
): Promise<MakeResult> {
  const { g } = volume;
  const source = new VolumeSource(volume);
  const bit = (on: boolean): number => (on ? 1 : 0);
  const f = g.features;
  const kept: MkfsOptions = {
    blockSize: g.blocksize,
    sectorSize: g.sectsize,
    inodeSize: g.inodesize,
    dirBlockSize: g.dirblksize,
    finobt: bit(f.finobt),
    inobtcount: bit(f.inobtcount),
    rmapbt: bit(f.rmapbt),
    reflink: bit(f.reflink),
    bigtime: bit(f.bigtime),
    sparseInodes: bit(f.sparseInodes),
    nrext64: bit(f.nrext64),
    uuid: g.uuid,
    label: String(SUPERBLOCK.decode(volume.superblock).fname),
  };
  return fill(path, { ...kept, ...options }, make, source, options.reproducible === true);
}
