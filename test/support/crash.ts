/** Images crashed by Linux under random load from several processes, and what Linux itself makes of them. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadOrder } from './load.js';
import { crash, logEnds, mount, unmount, withMount } from './mount.js';
import { run } from './oracle.js';
import { mkfs } from './populate.js';
import { describeTree, type Tree } from './tree.js';

export interface CrashGeometry {
  readonly name: string;
  readonly size: number;
  readonly args: readonly string[];
  readonly reflink: boolean;
  readonly options?: string;
  /** Bits to set among the superblock's incompatible features: those mkfs.xfs 6.1 does not know. */
  readonly incompat?: number;
}

const MIB = 2 ** 20;
const geometry = (name: string, args: string, more: Partial<CrashGeometry> = {}): CrashGeometry => ({
  name,
  size: 400 * MIB,
  args: args.split(' '),
  reflink: true,
  ...more,
});

export const CRASH_GEOMETRIES: readonly CrashGeometry[] = [
  geometry('plain', '-m rmapbt=0 -l size=32m'),
  geometry('rmapbt', '-m rmapbt=1 -l size=32m'),
  geometry('1k', '-b size=1024 -m rmapbt=1 -l size=32m'),
  geometry('logstripe', '-m rmapbt=1 -l size=32m,su=32k -d agcount=3'),
  geometry('nrext64', '-i nrext64=1 -m rmapbt=1 -l size=32m'),
  geometry('dir8k', '-n size=8192 -m rmapbt=0 -l size=32m'),
  geometry('smalllog', '-m rmapbt=1 -l size=14m -d agcount=2'),
  geometry('noreflink', '-m reflink=0,rmapbt=0,finobt=0,inobtcount=0 -i sparse=0,size=1024 -l size=32m', {
    reflink: false,
  }),
  geometry('sector4k', '-s size=4096 -m rmapbt=1 -l size=32m -d agcount=5', { options: 'logbsize=256k' }),
  geometry('stripe1k', '-b size=1024 -d su=16k,sw=4 -m rmapbt=0 -n size=4096 -l size=20m', {
    options: 'logbsize=64k,swalloc',
  }),
];

/** Parent pointers and exchange of ranges, which Linux has had since 6.10 and xfs_repair 6.1 knows nothing of. */
export const PARENT_GEOMETRIES: readonly CrashGeometry[] = [
  geometry('parent', '-m rmapbt=1 -l size=32m', { incompat: 0xc0 }),
  geometry('parent1k', '-b size=1024 -m rmapbt=0 -i nrext64=1 -l size=14m', { incompat: 0xc0 }),
];

/** Sets bits of sb_features_incompat in all superblocks of a new image. */
export function setIncompat(image: string, bits: number): void {
  const shown = run('xfs_db', ['-r', '-c', 'sb 0', '-c', 'p agcount features_incompat', image]).stdout;
  const [, agcount, before] = /agcount = (\d+)\nfeatures_incompat = 0x([0-9a-f]+)/.exec(shown)!;
  const value = `0x${(Number.parseInt(before, 16) | bits).toString(16)}`;
  const commands = Array.from({ length: Number(agcount) }, (_, agno) => [
    '-c',
    `sb ${agno}`,
    '-c',
    `write -d features_incompat ${value}`,
  ]);
  run('xfs_db', ['-x', ...commands.flat(), image]);
}

/** Processes that make load, started once and used for many images. */
export class Load {
  readonly #children: ChildProcess[];
  readonly #ready: Promise<unknown>;

  constructor(processes = 3) {
    const script = fileURLToPath(new URL('./load.ts', import.meta.url));
    this.#children = Array.from({ length: processes }, () =>
      fork(script, { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
    );
    this.#ready = Promise.all(
      this.#children.map((child) => new Promise((resolve) => child.once('message', resolve))),
    );
  }

  /** Works below `root` until the filesystem is shut down (by `during`) or `during` is over. */
  async run(order: LoadOrder, during: () => Promise<void>): Promise<number> {
    await this.#ready;
    const ends = this.#children.map(
      (child) =>
        new Promise<number>((resolve, reject) => {
          child.once('message', (m: { done?: number; error?: string }) => {
            if (m.error !== undefined) reject(new Error(m.error));
            else resolve(m.done ?? 0);
          });
        }),
    );
    this.#children.forEach((child, i) => {
      child.send({ ...order, seed: order.seed * 100 + i } satisfies LoadOrder);
    });
    await during();
    for (const child of this.#children) child.send('stop');
    const done = await Promise.all(ends);
    return done.reduce((a, b) => a + b, 0);
  }

  close(): void {
    for (const child of this.#children) child.disconnect();
  }
}

export interface CrashOptions {
  readonly geometry: CrashGeometry;
  readonly seed: number;
  readonly profile?: LoadOrder['profile'];
  /** Milliseconds of load before the crash. */
  readonly milliseconds?: number;
  /** And for as long as the log has not wrapped. */
  readonly wrapped?: boolean;
  /** Whether the log is written out first: all that was done is to be replayed. */
  readonly flushlog?: boolean;
  /** Called with the mount point before the load begins. */
  readonly prepare?: (root: string) => void | Promise<void>;
}

/** Makes an image at `path` and crashes it under load. Returns how many operations were tried. */
export async function crashImage(path: string, load: Load, o: CrashOptions): Promise<number> {
  mkdirSync(dirname(path), { recursive: true });
  mkfs(path, { size: o.geometry.size, args: o.geometry.args, tiny: true });
  if (o.geometry.incompat !== undefined) setIncompat(path, o.geometry.incompat);
  const root = mount(path, { options: o.geometry.options });
  try {
    await o.prepare?.(root);
    const { reflink } = o.geometry;
    return await load.run({ root, seed: o.seed, reflink, profile: o.profile ?? 'mixed' }, async () => {
      await new Promise((resolve) => setTimeout(resolve, o.milliseconds ?? 800));
      for (let waits = 0; o.wrapped && waits < 600 && logEnds(root).cycle < 2; waits++)
        await new Promise((resolve) => setTimeout(resolve, 100));
      crash(root, { flushlog: o.flushlog });
    });
  } finally {
    unmount(root);
  }
}

/** Mounts an image, so that Linux recovers it where need be, and describes what it shows. */
export const linuxTree = (image: string): Tree => withMount(image, describeTree, { options: 'noatime' });

/** The first differences between two trees, one a line; empty where there are none. */
export function treeDifferences(expected: Tree, actual: Tree, most = 10): string[] {
  const out: string[] = [];
  const show = (value: unknown): string =>
    value instanceof Map ? JSON.stringify([...value]).slice(0, 200) : String(value);
  for (const path of new Set([...expected.keys(), ...actual.keys()])) {
    if (out.length >= most) break;
    const a = expected.get(path);
    const b = actual.get(path);
    if (a === undefined || b === undefined) {
      out.push(`${path}: ${a === undefined ? 'is there, and should not be' : 'is missing'}`);
      continue;
    }
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof typeof a>) {
      const same =
        key === 'xattrs'
          ? a.xattrs.size === b.xattrs.size && [...a.xattrs].every(([k, v]) => b.xattrs.get(k) === v)
          : String(a[key]) === String(b[key]);
      if (!same) out.push(`${path}: ${key} is ${show(b[key])}, expected ${show(a[key])}`);
    }
  }
  return out;
}
