/** What `xfsimg getfattr` shows. */
import { aclFromXattr, aclToText } from '../format/acl.js';
import { bytesToText, textToBytes } from '../format/text.js';
import { shownAttrs } from '../volume/attr.js';
import type { Volume } from '../volume/volume.js';
import { Damage } from './damage.js';
import { findOperand } from './operands.js';
import { Output } from './render/output.js';

interface Options {
  readonly name?: string;
  readonly encoding?: 'text' | 'hex' | 'base64';
  readonly onlyValues?: boolean;
  readonly dereference: boolean;
}

export function showAttributes(
  volume: Volume,
  image: string,
  paths: readonly string[],
  options: Options,
): void {
  const damage = new Damage(volume, image);
  const out = new Output();
  const wanted = options.name === undefined ? undefined : textToBytes(options.name);
  for (const path of paths) {
    const inode = findOperand(volume, path, damage, { follow: options.dereference });
    if (inode === undefined) continue;
    const all = damage.guard(() => shownAttrs(volume, inode)) ?? [];
    const shown = wanted === undefined ? all : all.filter(([name]) => Buffer.compare(name, wanted) === 0);
    if (wanted !== undefined && shown.length === 0) damage.line(`${path}: no attribute ${options.name}`);
    if (shown.length === 0) continue;
    if (options.onlyValues === true) {
      for (const [, value] of shown) out.raw(value);
      continue;
    }
    out.raw(
      Buffer.concat([Buffer.from('# file: '), escaped(textToBytes(path), /[\n\r\\]/g), Buffer.from('\n')]),
    );
    for (const [name, value] of shown)
      out.raw(
        Buffer.concat([
          escaped(name, /[=\n\r\\]/g),
          Buffer.from('='),
          encoded(name, value, options.encoding),
          Buffer.from('\n'),
        ]),
      );
    out.text('\n');
  }
  out.flush();
  damage.finish();
}

/** Bytes that would not be read back as they are, as a backslash and three octal digits. */
function escaped(bytes: Uint8Array, which: RegExp): Buffer {
  const text = Buffer.from(bytes).toString('latin1');
  const octal = (c: string): string => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`;
  return Buffer.from(text.replace(which, octal), 'latin1');
}

/** A value as setfattr takes it; an ACL's text without quotes. */
function encoded(name: Uint8Array, value: Uint8Array, how: Options['encoding']): Buffer {
  const bytes = Buffer.from(value);
  if (how === 'hex') return Buffer.from(`0x${bytes.toString('hex')}`);
  if (how === 'base64') return Buffer.from(`0s${bytes.toString('base64')}`);
  if (bytesToText(name).startsWith('system.posix_acl_')) {
    const acl = aclFromXattr(value);
    if (acl !== undefined) return Buffer.from(aclToText(acl));
  }
  const text = bytesToText(value);
  if (how === undefined && !/^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*$/u.test(text))
    return Buffer.from(`0s${bytes.toString('base64')}`);
  return Buffer.concat([Buffer.from('"'), escaped(value, /[\x00-\x1f"\\]/g), Buffer.from('"')]);
}
