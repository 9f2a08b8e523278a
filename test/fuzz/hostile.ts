/** What must hold of files from anywhere that an image is made of: made or refused, one line, nothing left behind. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { metadump } from '../../src/dump/metadump/metadump.js';
import { openSource } from '../../src/image/open.js';
import { restoreMetadump } from '../../src/mkfs/mdrestore.js';
import { makeFilled } from '../../src/mkfs/populate/make.js';
import { openVolume } from '../../src/volume/volume.js';
import { run } from '../support/oracle.js';

/** Most microseconds of CPU a case may take. */
const PATIENCE = 10_000_000;

export type Outcome = 'made' | 'refused';

/** Does it; holds what it throws, what it leaves and how long it takes against the rule. */
export async function judged(
  what: string,
  image: string,
  make: () => Promise<unknown> | unknown,
): Promise<Outcome> {
  const from = process.cpuUsage();
  rmSync(image, { force: true });
  let refusal: Error | undefined;
  try {
    await make();
  } catch (error) {
    refusal = error as Error;
  }
  const { user, system } = process.cpuUsage(from);
  assert.ok(user + system < PATIENCE, `${what}: took ${user + system} us`);
  if (refusal === undefined) return 'made';
  assert.equal(refusal.name, 'MkfsError', `${what}: ${refusal.stack}`);
  assert.match(refusal.message, /^[^\n]{1,1000}$/, what);
  assert.equal(existsSync(image), false, `${what}: an image is left`);
  return 'refused';
}

export async function judgeDump(what: string, bytes: Buffer, folder: string): Promise<Outcome> {
  const [dump, image] = [join(folder, 'dump'), join(folder, 'image')];
  writeFileSync(dump, bytes);
  return judged(what, image, () => restoreMetadump(dump, image, false));
}

export async function judgeArchive(what: string, bytes: Buffer, folder: string): Promise<Outcome> {
  const [archive, image] = [join(folder, 'archive.tar'), join(folder, 'image')];
  writeFileSync(archive, bytes);
  return judged(what, image, () => makeFilled(image, { size: 2 ** 26 }, { source: archive }));
}

/** An image with a small log, which is most of a dump. */
export async function smallImage(folder: string): Promise<string> {
  const image = join(folder, 'small');
  await makeFilled(image, { size: 2 ** 25, rmapbt: 0, reflink: 0 }, { source: 'src/format' });
  return image;
}

/** A dump of an image, names as they are. */
export function dumpOf(image: string): Buffer {
  const parts: Buffer[] = [];
  const volume = openVolume(openSource(image));
  try {
    metadump(volume, (record) => parts.push(Buffer.from(record)));
  } finally {
    volume.close();
  }
  return Buffer.concat(parts);
}

/** An archive with a member of each kind: sparse ones, links, devices, attributes, ACLs, long names. */
export function richArchive(folder: string, format: 'pax' | 'gnu'): Buffer {
  const source = join(folder, 'source');
  if (!existsSync(source))
    run('sh', [
      '-ec',
      `mkdir -p "$0/d/deeper"; cd "$0"; echo hello > file; ln file hard; ln -s file soft; mkfifo fifo
       head -c 3000 /dev/zero | tr '\\0' x > d/inside; truncate -s 1M sparse; printf data | dd of=sparse bs=1 seek=600000 conv=notrunc status=none
       echo y > d/deeper/$(printf 'long%.0s' $(seq 50)); setfattr -n user.note -v told file; mknod null c 1 3
       setfacl -m u:1234:rw file`,
      source,
    ]);
  const archive = join(folder, `${format}.tar`);
  const attributes = format === 'pax' ? ['--xattrs', '--acls'] : [];
  run('tar', [
    '-S',
    '--sort=name',
    '--blocking-factor=1',
    `--format=${format}`,
    ...attributes,
    '-C',
    source,
    '-cf',
    archive,
    '.',
  ]);
  return readFileSync(archive);
}
