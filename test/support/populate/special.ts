import { linkSync, symlinkSync, unlinkSync } from 'node:fs';
import { run } from '../oracle.js';
import type { Site } from './site.js';

/** Symbolic links inline and remote, hard links, fifos, sockets, devices. */
export function fillSpecial(site: Site): void {
  const links = site.mkdir('symlinks');
  // 336 bytes is what a 512-byte inode holds inline; 1023 is the longest target XFS keeps.
  for (const length of [1, 20, 300, 336, 337, 700, 1023]) {
    symlinkSync('t'.repeat(length), site.path(`${links}/s${length}`));
    site.note(`symlink:${length}`, `${links}/s${length}`);
  }
  symlinkSync('../files/tiny', site.path(`${links}/good`));
  symlinkSync(Buffer.from('bytes \xff\xfe\n', 'latin1'), site.path(`${links}/bytes`));

  // With an attribute fork, an inline target has less room.
  symlinkSync('a'.repeat(150), site.path(`${links}/attr`));
  site.setAttrs([{ path: `${links}/attr`, name: 'trusted.on-link', value: Buffer.from('yes') }]);

  const dir = site.mkdir('special');
  run('/bin/sh', ['-e'], {
    cwd: site.path(dir),
    input: [
      'mkfifo fifo',
      'mknod block b 8 1',
      'mknod block-big b 511 262143',
      'mknod char c 1 3',
      'mknod char-zero c 0 0',
    ].join('\n'),
  });
  // A listener killed outright leaves its socket behind; there is no mknod for sockets in a shell.
  const listen = "require('net').createServer().listen('socket', () => process.kill(process.pid, 'SIGKILL'))";
  run(process.execPath, ['-e', listen], { cwd: site.path(dir), status: 'any' });
  for (const name of ['fifo', 'socket', 'block', 'block-big', 'char', 'char-zero']) {
    site.note(`special:${name}`, `${dir}/${name}`);
  }
  site.setAttrs([{ path: `${dir}/fifo`, name: 'trusted.on-fifo', value: Buffer.from('yes') }]);

  const hard = site.mkdir('hardlinks');
  site.file(`${hard}/0`, [[0, site.bytes(50)]]);
  for (let i = 1; i < 5; i++) linkSync(site.path(`${hard}/0`), site.path(`${hard}/${i}`));
  linkSync(site.path(`${dir}/fifo`), site.path(`${hard}/fifo`));
  site.note('hardlink', `${hard}/0`);
}

/** Deleted inodes: free inodes in many chunks, and chunks given back whole. */
export function fillDeleted(site: Site): void {
  const dir = site.mkdir('deleted');
  const count = { tiny: 120, small: 700, full: 3000 }[site.scale];
  for (let i = 0; i < count; i++) site.file(`${dir}/${i}`, i % 5 ? [] : [[0, site.bytes(10)]]);
  const whole = [Math.floor(count * 0.3), Math.floor(count * 0.6)];
  for (let i = 0; i < count; i++) {
    if ((i > whole[0] && i < whole[1]) || site.random() < 0.5) unlinkSync(site.path(`${dir}/${i}`));
  }
}
