import { closeSync, mkdirSync, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../oracle.js';

export type Scale = 'tiny' | 'small' | 'full';

/**
 * The mounted filesystem being filled: what every category of shapes needs to know and to do.
 * Paths are relative to the mount point; Buffers where a name is not UTF-8.
 */
export interface Site {
  root: string;
  blocksize: number;
  scale: Scale;
  /** Whether files of this filesystem can share blocks. */
  reflink: boolean;
  /** Uniform in 0 <= x < 1, the same sequence for the same seed. */
  random(): number;
  /** A whole number in 0 <= n < limit. */
  randomInt(limit: number): number;
  /** Bytes that compress, repeat and are zero nowhere, different for each call. */
  bytes(length: number): Buffer;
  path(relative: string): string;
  pathBytes(folder: string, name: Buffer): Buffer;
  mkdir(relative: string): string;
  /** Make a file, writing each chunk at its offset. Returns the relative path. */
  file(relative: string, chunks?: readonly (readonly [offset: number, data: Buffer])[]): string;
  /** Run lines as one xfs_io script inside the mount point; any complaint throws unless `tolerant`. */
  xfsio(lines: readonly string[], tolerant?: boolean): string;
  /** Set extended attributes, all in one setfattr process. */
  setAttrs(attrs: readonly Attr[]): void;
  /** Remember a path under a name tests can ask for. */
  note(name: string, relative?: string): void;
  notes: Map<string, string>;
}

export interface Attr {
  path: string;
  /** With its namespace: user.x, trusted.y, security.z, system.posix_acl_access. */
  name: string | Buffer;
  value: Buffer;
}

export function openSite(root: string, seed: number, scale: Scale): Site {
  const random = mulberry32(seed);
  const notes = new Map<string, string>();
  let serial = 0;
  const site: Site = {
    root,
    scale,
    blocksize: statfsSync(root).bsize,
    reflink: false,
    random,
    notes,
    randomInt: (limit) => Math.floor(random() * limit),
    bytes(length) {
      const line = Buffer.from(`${(++serial).toString(36)}.${Math.floor(random() * 2 ** 32).toString(36)}/`);
      return Buffer.alloc(length, line);
    },
    path: (relative) => join(root, relative),
    pathBytes: (folder, name) => Buffer.concat([Buffer.from(`${join(root, folder)}/`), name]),
    mkdir(relative) {
      mkdirSync(join(root, relative), { recursive: true });
      return relative;
    },
    file(relative, chunks = []) {
      const fd = openSync(join(root, relative), 'w', 0o644);
      try {
        for (const [offset, data] of chunks) writeSync(fd, data, 0, data.length, offset);
      } finally {
        closeSync(fd);
      }
      return relative;
    },
    xfsio(lines, tolerant = false) {
      const { stdout, stderr } = run('xfs_io', [], {
        cwd: root,
        input: `${lines.join('\n')}\n`,
        status: 'any',
      });
      // xfs_io goes on after a failed command; what it prints on stderr is the only trace.
      if (stderr && !tolerant) throw new Error(`xfs_io: ${stderr}`);
      return stdout;
    },
    setAttrs(attrs) {
      const text = attrs.map(
        ({ path, name, value }) =>
          `# file: ${octal(Buffer.from(path))}\n${octal(Buffer.from(name))}=0x${value.toString('hex')}\n\n`,
      );
      run('setfattr', ['-h', '--restore=-'], { cwd: root, input: text.join('') });
    },
    note(name, relative = name) {
      notes.set(name, relative);
    },
  };
  site.reflink = canReflink(site);
  return site;
}

/** setfattr reads names with every awkward byte as a backslash and three octal digits. */
function octal(bytes: Buffer): string {
  let text = '';
  for (const byte of bytes) {
    const plain = /[\w./-]/.test(String.fromCharCode(byte)) && byte < 128;
    text += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return text;
}

function canReflink(site: Site): boolean {
  site.file('probe-a', [[0, Buffer.alloc(site.blocksize, 1)]]);
  const said = run('cp', ['--reflink=always', site.path('probe-a'), site.path('probe-b')], { status: 'any' });
  unlinkSync(site.path('probe-a'));
  run('rm', ['-f', site.path('probe-b')]);
  return said.status === 0;
}

/** A small generator of repeatable pseudo-random numbers with 32 bits of state. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
