/**
 * The library's face: what programs import from 'xfsimg'.
 *
 *     import { openImage } from 'xfsimg';
 *     const image = openImage('disk.img');
 *     for (const { path, size } of image.walk('/')) console.log(path, size);
 *
 * `openImage` is where to begin; `openVolume` and what stands with it is the level below, which the commands
 * themselves are built on.
 */
export type { Cell, RowOf } from './dump/table.js';
export type { ChownOptions, TouchOptions } from './edit/attributes.js';
export type { MkdirOptions } from './edit/create.js';
export type { EditOptions, Path } from './edit/edit.js';
export { EditError } from './edit/error.js';
export type { PutOptions } from './edit/put.js';
export type { XattrOptions } from './edit/xattr.js';
export type { Timespec } from './format/dinode.js';
export { CorruptionError, describeFault, type Fault, type Report } from './format/fault.js';
export type { Features } from './format/features.js';
export type { Geometry } from './format/geometry.js';
export type { Lsn } from './format/log.js';
export { type OpenOptions, openSource } from './image/open.js';
export { OverlaySource } from './image/overlay.js';
export { findPartition, type Partition, readPartitions } from './image/partition.js';
export { FileSource, ImageError, MemorySource, type Source, WindowSource } from './image/source.js';
export { LogError } from './journal/error.js';
export type { LogSummary } from './journal/status.js';
export { type FileName, type FileRow, Image, openImage, type UsageOptions } from './library/image.js';
export type { RowOptions } from './library/rows.js';
export { EditScope } from './library/scope.js';
export type { Disk } from './library/source.js';
export type { ClaimEvidence, Finding, RmapEvidence, Severity } from './repair/finding.js';
export { NoSpaceError } from './transaction/alloc.js';
export {
  type ExtentList,
  type ExtentVisitor,
  type ForkName,
  readExtents,
  walkExtents,
} from './volume/fork.js';
export { Inode, type InodeVisitor, readInode, walkInodes } from './volume/inode.js';
export { PathError } from './volume/path.js';
export { openVolume, UnsupportedError, Volume } from './volume/volume.js';
