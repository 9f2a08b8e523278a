/** Kinds of images random edits are done on. */
import type { TwinOptions } from './twin.js';

export interface Shape extends Pick<TwinOptions, 'by' | 'mib' | 'args' | 'largest' | 'leave'> {
  readonly name: string;
}

export const SHAPES: readonly Shape[] = [
  { name: 'linux, rmapbt', by: 'linux', mib: 300, args: ['-m', 'rmapbt=1'] },
  { name: 'xfsimg, defaults', by: 'xfsimg', mib: 300, args: [] },
  { name: 'linux, 1 KiB blocks', by: 'linux', mib: 200, args: ['-b', 'size=1024', '-m', 'rmapbt=0'] },
  {
    name: 'xfsimg, 1 KiB blocks, rmapbt',
    by: 'xfsimg',
    mib: 200,
    args: ['-b', 'size=1024', '-m', 'rmapbt=1'],
  },
  {
    name: 'linux, nearly full, small AGs',
    by: 'linux',
    mib: 64,
    args: ['-m', 'rmapbt=1', '-d', 'agcount=4'],
    largest: 2_000_000,
    leave: 1,
  },
  {
    name: 'xfsimg, nearly full, 1 KiB blocks',
    by: 'xfsimg',
    mib: 64,
    args: ['-b', 'size=1024', '-m', 'rmapbt=0', '-d', 'agcount=2'],
    largest: 2_000_000,
    leave: 1,
  },
  {
    name: 'linux, features off',
    by: 'linux',
    mib: 200,
    args: ['-m', 'bigtime=0,reflink=0,finobt=0,inobtcount=0,rmapbt=0', '-i', 'sparse=0,nrext64=0'],
  },
  {
    name: 'xfsimg, nrext64, 1024-byte inodes, 8 KiB directory blocks',
    by: 'xfsimg',
    mib: 300,
    args: ['-m', 'rmapbt=1', '-i', 'nrext64=1,size=1024', '-n', 'size=8192'],
  },
];
