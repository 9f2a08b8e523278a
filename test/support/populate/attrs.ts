import { run } from '../oracle.js';
import { collidingNames } from './names.js';
import type { Attr, Site } from './site.js';

/** Attribute forks in every form and namespace, values up to 64 KiB, POSIX ACLs. */
export function fillAttributes(site: Site): void {
  const { blocksize: block } = site;
  const dir = site.mkdir('attrs');
  const attrs: Attr[] = [];
  const add = (path: string, name: string | Buffer, value: Buffer | string) =>
    attrs.push({ path, name, value: Buffer.from(value) });
  const file = (name: string, chunks?: Parameters<Site['file']>[1]) => {
    site.note(`attr:${name}`, `${dir}/${name}`);
    return site.file(`${dir}/${name}`, chunks);
  };

  const short = file('short', [[0, site.bytes(100)]]);
  add(short, 'user.colour', 'blue');
  add(short, 'trusted.origin', 'here');
  add(short, 'security.note', 'kept');
  add(short, 'user.empty', '');
  const one = file('one');
  add(one, 'user.x', 'y');

  // Past what an inode of up to 2 KiB holds beside its core, yet within one block.
  const leaf = file('leaf');
  for (let i = 0; i < 8; i++) add(leaf, `user.leaf${i}`, site.bytes(Math.min(90, Math.floor(block / 14))));
  const wide = file('wide');
  add(wide, `user.${'w'.repeat(250)}`, site.bytes(60));
  add(wide, Buffer.from('user.\xff\xfe =\n', 'latin1'), 'odd name');

  const node = file('node', [[0, site.bytes(2 * block)]]);
  const count = Math.max(400, Math.ceil((4 * block) / 48));
  for (let i = 0; i < count; i++) add(node, `user.attribute.${i}`, site.bytes(10 + (i % 40)));

  const remote = file('remote');
  for (const size of [block - 200, block, 3 * block + 5, 30_000, 65_536]) {
    add(remote, `user.remote${size}`, site.bytes(Math.min(size, 65_536)));
  }
  add(remote, 'trusted.remote', site.bytes(40_000));
  add(remote, 'user.small', 'small');

  const colliding = file('colliding');
  // Few enough for one leaf: xfs_repair 6.1 calls an attribute hash that runs on into a second leaf corrupt.
  for (const name of collidingNames(8)) add(colliding, Buffer.concat([Buffer.from('user.'), name]), 'v');

  const gaps = file('gaps');
  for (let i = 0; i < 150; i++) add(gaps, `user.gap${i}`, site.bytes(50));

  site.mkdir(`${dir}/dir-short`);
  add(`${dir}/dir-short`, 'user.dir', 'short');
  site.mkdir(`${dir}/dir-node`);
  for (let i = 0; i < count; i++) add(`${dir}/dir-node`, `trusted.attribute.${i}`, site.bytes(20));
  site.note('attr:dir-node', `${dir}/dir-node`);

  add(file('acl'), 'system.posix_acl_access', acl([1234, 5678]));
  add(file('acl-many'), 'system.posix_acl_access', acl(Array.from({ length: 120 }, (_, i) => 1000 + i * 7)));
  site.mkdir(`${dir}/acl-dir`);
  add(`${dir}/acl-dir`, 'system.posix_acl_access', acl([1]));
  add(`${dir}/acl-dir`, 'system.posix_acl_default', acl([2, 3]));
  site.note('attr:acl-dir', `${dir}/acl-dir`);
  site.setAttrs(attrs);
  site.note('attr:acl-inherited', site.file(`${dir}/acl-dir/child`));

  const removals = [];
  for (let i = 0; i < 150; i++) if (i % 3) removals.push(`setfattr -x user.gap${i} ${gaps}`);
  run('/bin/sh', ['-e'], { cwd: site.root, input: removals.join('\n') });
}

/** The kernel's version-2 ACL attribute (little-endian): named users may read, everybody else as usual. */
function acl(uids: readonly number[]): Buffer {
  const anyone = 0xffffffff;
  const entries = [
    [0x01, 6, anyone], // owner
    ...uids.map((uid) => [0x02, 4, uid]),
    [0x04, 4, anyone], // owning group
    [0x08, 5, 4242], // a named group
    [0x10, 6, anyone], // mask
    [0x20, 0, anyone], // other
  ];
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  });
  return bytes;
}
