/**
 * The library's face: what programs import from 'xfsimg'.
 *
 *     import { FileSource, openVolume } from 'xfsimg';
 *     const volume = openVolume(FileSource.open('disk.img'));
 */
export { CorruptionError, describeFault, type Fault } from './format/fault.js';
export type { Features } from './format/features.js';
export type { Geometry } from './format/geometry.js';
export { type OpenOptions, openSource } from './image/open.js';
export { OverlaySource } from './image/overlay.js';
export { findPartition, type Partition, readPartitions } from './image/partition.js';
export { FileSource, ImageError, MemorySource, type Source, WindowSource } from './image/source.js';
export { type ExtentVisitor, type ForkName, readExtents, walkExtents } from './volume/fork.js';
export { Inode, readInode, walkInodes } from './volume/inode.js';
export { openVolume, UnsupportedError, Volume } from './volume/volume.js';
