/**
 * Random edits done twice: by xfsimg on an image, by Linux on a twin that has room for everything. What the one
 * refuses the other must refuse, and after each batch both filesystems are the same to the last attribute and
 * timestamp, and sound to xfs_repair and to our own check.
 */
import { strict as assert } from 'node:assert';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEdit } from '../../src/edit/edit.js';
import { textToBytes } from '../../src/format/text.js';
import { FileSource } from '../../src/image/source.js';
import { examine } from '../../src/repair/examine.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { xfsimg } from '../support/cli.js';
import { mount, unmount, withMount } from '../support/mount.js';
import { run, tmpdir, xfsRepairClean } from '../support/oracle.js';
import { mkfs } from '../support/populate.js';
import { describeTree, type Tree, type TreeNode } from '../support/tree.js';
import { Chooser } from './choose.js';
import { applyLinux, applyOurs, codeOf, type Operation } from './operations.js';

export interface TwinOptions {
  readonly seed: number;
  readonly operations: number;
  /** Operations between two comparisons. */
  readonly batch: number;
  /** Who makes the image. */
  readonly by: 'linux' | 'xfsimg';
  readonly mib: number;
  /** mkfs arguments, as mkfs.xfs and ours take them. */
  readonly args: readonly string[];
  /** Largest file in bytes; large ones fill the image. */
  readonly largest?: number;
  /** A file of both takes all of the image but so many MiB. */
  readonly leave?: number;
  readonly onBatch?: (done: number) => void;
}

export interface TwinResult {
  /** How often each operation went well, was refused by both, and had no room. */
  readonly done: Record<string, number>;
  readonly refused: Record<string, number>;
  readonly noSpace: number;
}

/** Long enough for the kernel's coarse clock to move on. */
const TICK_MS = 7;

const sleep = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

/** Directories with something to hand down to new files, made by Linux in both. */
const SPECIAL = [
  '/extsize',
  '/cowextsize',
  '/project',
  '/setgid',
  '/acl',
  '/nodump',
  '/immutable',
  '/append',
];

function makeSpecial(root: string, reflink: boolean): void {
  for (const name of SPECIAL) mkdirSync(join(root, name));
  const io = (dir: string, command: string): void => {
    run('xfs_io', ['-c', command, join(root, dir)]);
  };
  io('extsize', 'extsize 16384');
  if (reflink) io('cowextsize', 'cowextsize 65536');
  io('project', 'chproj 42');
  io('project', 'chattr +P');
  io('nodump', 'chattr +d');
  io('nodump', 'chattr +A');
  io('nodump', 'chattr +S');
  run('chown', ['3:4', join(root, 'setgid')]);
  run('chmod', ['2775', join(root, 'setgid')]);
  run('setfacl', ['-d', '-m', 'u:5:rwx,g:6:r-x,o::-', join(root, 'acl')]);
  writeFileSync(join(root, 'append', 'file'), 'x');
  io('append', 'chattr +a');
  io('immutable', 'chattr +i');
}

/** A small tree of every kind of file, for put. Access times in the future are not changed by reading. */
function makeSource(folder: string): string {
  const root = join(folder, 'source');
  const script = `
mkdir -p "${root}/sub/deeper" && cd "${root}" && echo one > one && seq 5000 > sub/numbers
ln one sub/one && ln -s ../one sub/link && mkfifo -m 600 fifo && truncate -s 300000 sparse
echo middle | dd of=sparse bs=1 seek=150000 conv=notrunc status=none
setfattr -n user.note -v text one && setfacl -m u:9:rw sub/numbers && setfacl -d -m u:9:rx sub
chown 11:12 sub/numbers && chmod 4750 sub/numbers
for i in $(seq 60); do echo $i > sub/deeper/file-with-a-longer-name-$i; done
touch -d @1200000000 one sub/numbers sub/deeper sub .
find . -exec touch -h -a -d '+2 days' {} +`;
  run('sh', ['-e', '-c', script]);
  return root;
}

function makeImage(path: string, o: TwinOptions): void {
  const size = o.mib << 20;
  if (o.by === 'linux') mkfs(path, { size, args: o.args, tiny: true });
  else {
    const made = xfsimg(['mkfs', path, '--size', `${size}`, '-q', ...o.args]);
    assert.equal(made.status, 0, made.stderr);
  }
}

export async function twinCampaign(o: TwinOptions): Promise<TwinResult> {
  const folder = tmpdir();
  const image = join(folder, 'image');
  const twin = join(folder, 'twin');
  makeImage(image, o);
  mkfs(twin, { size: 1 << 30, args: o.args });
  const volume = openVolume(FileSource.open(image));
  const { reflink } = volume.g.features;
  volume.close();
  for (const path of [image, twin]) withMount(path, (root) => makeSpecial(root, reflink));
  if (o.leave !== undefined) {
    const free = withMount(image, (root) => statfsSync(root));
    const bytes = free.bavail * free.bsize - (o.leave << 20);
    for (const path of [image, twin])
      withMount(path, (root) => run('xfs_io', ['-f', '-c', `falloc 0 ${bytes}`, join(root, 'filler')]));
  }
  const chooser = new Chooser({
    seed: o.seed,
    reflink,
    largest: o.largest ?? 300_000,
    trees: [makeSource(folder)],
    special: SPECIAL,
  });
  for (const path of SPECIAL) chooser.model.add(path, 'dir');
  const result = { done: {} as Record<string, number>, refused: {} as Record<string, number>, noSpace: 0 };
  const history: string[] = [];
  /** When each operation began, in milliseconds: what an operation stamped lies behind its start. */
  const starts: number[] = [Date.now()];
  for (let done = 0; done < o.operations; ) {
    const source = FileSource.open(image, 'r+');
    const now = (): { sec: number; nsec: number } => {
      const ms = Date.now();
      return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 };
    };
    const edit = openEdit(source, { now });
    const mountpoint = mount(twin, { options: 'noatime,nodev' });
    try {
      for (let i = 0; i < o.batch && done < o.operations; i++, done++) {
        sleep(2);
        starts.push(Date.now());
        sleep(TICK_MS);
        const operation = chooser.next();
        history.push(`${done}: ${show(operation)}`);
        const ours = await attempt(() => applyOurs(edit, operation));
        if (ours === 'ENOSPC') {
          result.noSpace++;
          continue;
        }
        const theirs = await attempt(() => applyLinux(mountpoint, operation));
        if (!agree(ours, theirs))
          assert.fail(
            `seed ${o.seed}, operation ${done}: ours: ${ours ?? 'done'}, Linux: ${theirs ?? 'done'}\n${history.slice(-5).join('\n')}`,
          );
        const counts = ours === undefined ? result.done : result.refused;
        counts[operation.op] = (counts[operation.op] ?? 0) + 1;
        if (ours === undefined) chooser.model.done(operation);
      }
      edit.close();
    } finally {
      unmount(mountpoint);
      source.close();
    }
    try {
      compare(image, twin, starts);
    } catch (error) {
      (error as Error).message =
        `seed ${o.seed}, before operation ${done}: ${(error as Error).message}\n${history.slice(-o.batch).join('\n')}`;
      throw error;
    }
    o.onBatch?.(done);
  }
  rmSync(folder, { recursive: true });
  return result;
}

const show = (o: Operation): string =>
  JSON.stringify(o, (_, v) =>
    v instanceof Uint8Array || v?.type === 'Buffer' ? `${(v.data ?? v).length} bytes` : v,
  );

async function attempt(work: () => Promise<void> | void): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if ((error as Error).name === 'NoSpaceError') return 'ENOSPC';
    if ((error as Error).name === 'AssertionError') throw error;
    return codeOf(error);
  }
}

/** Reasons the two have different codes for. */
const SAME = [
  ['ENOTEMPTY', 'EEXIST'],
  ['EISDIR', 'EPERM'],
  ['EINVAL', 'EPERM'],
  ['EINVAL', 'EACCES'],
  ['EINVAL', 'EISDIR'],
  ['EINVAL', 'ENXIO'],
  ['EINVAL', 'ESPIPE'],
  ['EINVAL', 'EOPNOTSUPP'],
];

function agree(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && SAME.some((s) => s.includes(a) && s.includes(b));
}

function compare(image: string, twin: string, starts: readonly number[]): void {
  xfsRepairClean(image);
  const source = FileSource.open(image);
  const volume = openVolume(source);
  const findings = examine(volume).findings.filter((f) => f.severity === 'damage');
  assert.deepEqual(findings, []);
  const ours = withMount(image, describeTree, { options: 'ro' });
  const linux = withMount(twin, describeTree, { options: 'ro' });
  assert.deepEqual([...ours.keys()].sort(), [...linux.keys()].sort());
  const other = openVolume(FileSource.open(twin));
  for (const [path, node] of linux)
    assert.deepEqual(
      { ...comparable(ours.get(path)!, starts), ...stored(volume, path) },
      { ...comparable(node, starts), ...stored(other, path) },
      `differs: ${JSON.stringify(path)}`,
    );
  assert.deepEqual(linkGroups(ours), linkGroups(linux));
  other.close();
  volume.close();
}

function comparable(n: TreeNode, starts: readonly number[]): Record<string, unknown> {
  return {
    type: n.type,
    mode: n.mode.toString(8),
    owner: `${n.uid}:${n.gid}`,
    size: n.type === 'dir' ? 0n : n.size,
    nlink: n.nlink,
    device: n.device,
    target: n.target,
    content: n.content,
    xattrs: Object.fromEntries([...n.xattrs].sort(([a], [b]) => (a < b ? -1 : 1))),
    ...Object.fromEntries(
      (['atime', 'mtime', 'ctime', 'btime'] as const).map((t) => [t, moment(n[t], starts)]),
    ),
  };
}

/** The operation a time was stamped by; what stands before all of them as it is. */
function moment(ns: bigint, starts: readonly number[]): string {
  const ms = Number(ns / 1_000_000n);
  if (ms < starts[0] - 3_600_000) return `${ns}`;
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (starts[middle] <= ms) low = middle + 1;
    else high = middle;
  }
  return `operation ${low - 2}`;
}

/** What only the inode says; it has been taken in by our reader from what Linux wrote, too. */
function stored(volume: ReturnType<typeof openVolume>, path: string): Record<string, unknown> {
  const inode = resolvePath(volume, textToBytes(Buffer.from(path, 'latin1').toString('utf8')), {
    follow: false,
  });
  const { flags, flags2, projid, extsize, cowextsize } = inode;
  // Whether a file shares blocks follows from what was done to it; Linux forgets it at times, ours at others.
  return { flags, flags2: flags2 & ~2, projid, extsize, cowextsize, generation: inode.generation > 0 };
}

function linkGroups(tree: Tree): string[] {
  const groups = new Map<number, string[]>();
  for (const [path, node] of tree)
    if (node.nlink > 1 && node.type !== 'dir') groups.set(node.ino, [...(groups.get(node.ino) ?? []), path]);
  return [...groups.values()].map((g) => g.sort().join('|')).sort();
}
