/** An inode as lines of "name: value", for `xfsimg stat`. */
import { isDevice } from '../dump/files.js';
import { FORK_FORMAT_NAME, S_IF } from '../format/dinode.js';
import { fileType, flagNames, modeString } from '../format/mode.js';
import { bytesToText, showBytes, textToBytes } from '../format/text.js';
import { isoTime } from '../format/time.js';
import { type Attribute, attrValue, parentPointer, walkAttrs } from '../volume/attr.js';
import type { Inode } from '../volume/inode.js';
import { readSymlink } from '../volume/symlink.js';
import type { Volume } from '../volume/volume.js';
import { NameWriter } from './names.js';
import type { Describe } from './stat.js';

const LABEL = 14;

export const describeInode: Describe = (out, volume, inode, path, damage, xattrs) => {
  const names = new NameWriter(out);
  const line = (label: string, value: string | number): void =>
    out.text(`${`${label}:`.padEnd(LABEL)}${value}\n`);
  const bytes = (label: string, value: Uint8Array): void => {
    out.text(`${label}:`.padEnd(LABEL));
    names.write(value);
    out.text('\n');
  };
  bytes('path', textToBytes(path));
  line('inode', inode.ino);
  line('type', fileType(inode.mode));
  line('mode', `${(inode.mode & 0o7777).toString(8).padStart(4, '0')} (${modeString(inode.mode)})`);
  line('links', inode.nlink);
  line('uid', inode.uid);
  line('gid', inode.gid);
  line('projid', inode.projid);
  if (isDevice(inode)) line('device', `${inode.rdev.major}:${inode.rdev.minor}`);
  line('size', String(inode.exactSize));
  line('blocks', `${inode.nblocks} of ${volume.g.blocksize} bytes`);
  line('access', isoTime(inode.atime));
  line('modify', isoTime(inode.mtime));
  line('change', isoTime(inode.ctime));
  line('birth', isoTime(inode.crtime));
  line('flags', flagNames(inode.flags, inode.flags2).join(',') || 'none');
  if (inode.extsize > 0) line('extsize', `${inode.extsize} blocks`);
  if (inode.cowextsize > 0) line('cowextsize', `${inode.cowextsize} blocks`);
  line('generation', inode.generation);
  line('data fork', `${FORK_FORMAT_NAME[inode.format] ?? inode.format}, ${inode.nextents} extents`);
  if (inode.hasAttrFork)
    line('attr fork', `${FORK_FORMAT_NAME[inode.aformat] ?? inode.aformat}, ${inode.naextents} extents`);
  if (inode.type === S_IF.LNK) {
    const target = damage.guard(() => readSymlink(volume, inode));
    if (target !== undefined) bytes('target', target);
  }
  if (!xattrs) return;
  damage.guard(() =>
    walkAttrs(volume, inode, (attribute) => {
      const said = damage.guard(() => describeAttribute(volume, inode, attribute));
      if (said !== undefined) line(attribute.namespace === 'parent' ? 'parent' : 'attribute', said);
    }),
  );
};

/** name="value", the value in hex where it is not text; of a parent pointer the directory and the name. */
function describeAttribute(volume: Volume, inode: Inode, attribute: Attribute): string {
  const parent = parentPointer(attribute);
  if (parent !== undefined)
    return `${JSON.stringify(showBytes(parent.name))} in inode ${parent.ino} generation ${parent.generation}`;
  const value = attrValue(volume, inode, attribute);
  const name = `${attribute.namespace ?? `flags-0x${attribute.flags.toString(16)}`}.${showBytes(attribute.name)}`;
  const text = bytesToText(value);
  const isText = /^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*$/u.test(text);
  return isText ? `${name}=${JSON.stringify(text)}` : `${name}=0x${Buffer.from(value).toString('hex')}`;
}
