/**
 * What is changed on the way from a source into an image: names left out, owners, and a list of metadata that
 * an unprivileged build could not give the files themselves.
 */
import { readFileSync } from 'node:fs';
import { S_IFMT } from '../../format/dinode.js';
import { reason } from '../../image/source.js';
import { badOption } from '../error.js';
import type { SourceTree, SourceXattr } from './tree.js';

/** Ids [from, from + count) become [to, to + count). */
export interface IdMap {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

export interface Rules {
  /** Leaves out what matches; see `excluder`. */
  readonly exclude?: readonly string[];
  /** Everything belongs to these; undefined leaves that half alone. */
  readonly owner?: { readonly uid?: number; readonly gid?: number };
  readonly mapUid?: readonly IdMap[];
  readonly mapGid?: readonly IdMap[];
  /** Path of a metadata list. */
  readonly metadata?: string;
  /** Latest time in the image, seconds since 1970. */
  readonly clamp?: number;
  /** Access times become modification times: reading the source changes them. */
  readonly dropAtime?: boolean;
}

/**
 * Whether a path below the source's root is to be left out. A pattern without a slash is held against the
 * last name, one with a slash against the whole path; `*` and `?` stop at slashes, `**` does not. Bytes are
 * compared as latin1.
 */
export function excluder(patterns: readonly string[] = []): ((path: string) => boolean) | undefined {
  if (patterns.length === 0) return undefined;
  const tests = patterns.map((pattern) => {
    const bytes = Buffer.from(pattern).toString('latin1');
    const whole = bytes.replace(/\/+$/, '').includes('/');
    const regexp = globRegExp(bytes.replace(/^\/+|\/+$/g, ''));
    return (path: string): boolean => regexp.test(whole ? path : path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((test) => test(path));
}

function globRegExp(pattern: string): RegExp {
  let out = '';
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i];
    if (c === '*') {
      if (pattern[i + 1] === '*') {
        i++;
        // "a/**/b" matches "a/b" too.
        if (pattern[i + 1] === '/') {
          i++;
          out += '(?:[^]*/)?';
        } else out += '[^]*';
      } else out += '[^/]*';
    } else if (c === '?') out += '[^/]';
    else if (c === '[') {
      const end = pattern.indexOf(']', i + 2);
      if (end < 0) out += '\\[';
      else {
        const set = pattern
          .slice(i + 1, end)
          .replace(/^!/, '^')
          .replaceAll('\\', '\\\\');
        out += `[${set}]`;
        i = end;
      }
    } else out += c.replace(/[.+^${}()|\\\]/]/, '\\$&');
  }
  return new RegExp(`^${out}$`);
}

/** "0:0", "0", ":5": numbers only, for names differ from machine to machine; undefined for anything else. */
export function parseIds(text: string): { uid?: number; gid?: number } | undefined {
  const match = /^(\d*)(?::(\d*))?$/.exec(text);
  const id = (digits: string | undefined): number | undefined =>
    digits === undefined || digits === '' ? undefined : Number(digits);
  const uid = id(match?.[1]);
  const gid = id(match?.[2]);
  if ((uid ?? gid) === undefined || !isId(uid ?? 0) || !isId(gid ?? 0)) return undefined;
  return { uid, gid };
}

/** The same for an option. Throws MkfsError. */
export function parseOwner(text: string): { uid?: number; gid?: number } {
  const ids = parseIds(text);
  if (ids === undefined)
    throw badOption(`--owner ${text}: UID, UID:GID or :GID is expected, each from 0 to 4294967294`);
  return ids;
}

/** "1000:0" or "100000:0:65536": from, to, how many. */
export function parseIdMap(flag: string, text: string): IdMap {
  const match = /^(\d+):(\d+)(?::(\d+))?$/.exec(text);
  const [from, to, count] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3] ?? 1)];
  if (match === null || count < 1 || !isId(from + count - 1) || !isId(to + count - 1))
    throw badOption(`${flag} ${text}: FROM:TO or FROM:TO:COUNT is expected, ids from 0 to 4294967294`);
  return { from, to, count };
}

const isId = (id: number): boolean => Number.isSafeInteger(id) && id >= 0 && id < 2 ** 32 - 1;

const mapped = (maps: readonly IdMap[], id: number): number => {
  const map = maps.find((m) => id >= m.from && id < m.from + m.count);
  return map === undefined ? id : map.to + (id - map.from);
};

/** Applies the rules, names left out excepted. Throws MkfsError for a metadata list that cannot be. */
export function applyRules(tree: SourceTree, rules: Rules): void {
  const { owner, mapUid = [], mapGid = [], clamp } = rules;
  for (let i = 0; i < tree.count; i++) {
    if (mapUid.length > 0) tree.uid[i] = mapped(mapUid, tree.uid[i]);
    if (mapGid.length > 0) tree.gid[i] = mapped(mapGid, tree.gid[i]);
    if (owner?.uid !== undefined) tree.uid[i] = owner.uid;
    if (owner?.gid !== undefined) tree.gid[i] = owner.gid;
    if (rules.dropAtime) {
      tree.atime[i] = tree.mtime[i];
      tree.atimeNsec[i] = tree.mtimeNsec[i];
    }
    if (clamp !== undefined) {
      if (tree.mtime[i] >= clamp) {
        tree.mtime[i] = clamp;
        tree.mtimeNsec[i] = 0;
      }
      if (tree.atime[i] >= clamp) {
        tree.atime[i] = clamp;
        tree.atimeNsec[i] = 0;
      }
    }
  }
  if (rules.metadata !== undefined) applyMetadata(tree, rules.metadata);
}

/**
 * A metadata list: a line for each path, `PATH MODE OWNER [NAME=VALUE ...]`, blank between. MODE is octal,
 * OWNER is UID:GID, UID or :GID; "-" leaves either as it is. A value is text in double quotes, 0x and hex, or
 * 0s and base64; NAME= without one takes the attribute away. Backslash and three octal digits stand for a
 * byte, in paths as in names and texts. Empty lines and lines that begin with # are skipped.
 */
function applyMetadata(tree: SourceTree, file: string): void {
  let text: string;
  try {
    text = readFileSync(file, 'latin1');
  } catch (error) {
    throw badOption(`--metadata ${file}: ${reason(error)}`);
  }
  text.split('\n').forEach((line, number) => {
    const bad = (why: string): Error => badOption(`--metadata ${file}: line ${number + 1}: ${why}`);
    const words = line.match(/(?:"(?:[^"\\]|\\.)*"|[^\s"])+/g);
    if (words === null || words[0].startsWith('#')) return;
    const [path, mode = '-', owner = '-', ...attrs] = words;
    const row = lookUp(tree, unescapeBytes(path));
    if (row < 0) throw bad(`${path} is not in the source`);
    if (mode !== '-') {
      if (!/^[0-7]{1,4}$/.test(mode)) throw bad(`mode ${mode} is not octal, 0 to 7777`);
      tree.mode[row] = (tree.mode[row] & S_IFMT) | Number.parseInt(mode, 8);
    }
    if (owner !== '-') {
      const ids = parseIds(owner);
      if (ids === undefined) throw bad(`owner ${owner} is not UID:GID, UID or :GID`);
      tree.uid[row] = ids.uid ?? tree.uid[row];
      tree.gid[row] = ids.gid ?? tree.gid[row];
    }
    for (const attr of attrs) {
      const equals = attr.indexOf('=');
      if (equals < 1) throw bad(`${attr} is not NAME=VALUE`);
      const name = unescapeBytes(attr.slice(0, equals));
      const value = attrValue(attr.slice(equals + 1));
      if (value === undefined) throw bad(`${attr}: a value is "text", 0x and hex, or 0s and base64`);
      const others = (tree.xattrs.get(row) ?? []).filter((x) => Buffer.compare(x.name, name) !== 0);
      const all: SourceXattr[] =
        value.length === 0 && attr.endsWith('=') ? others : [...others, { name, value }];
      if (all.length === 0) tree.xattrs.delete(row);
      else tree.xattrs.set(row, all);
    }
  });
}

function lookUp(tree: SourceTree, path: Uint8Array): number {
  let row = 0;
  for (const part of Buffer.from(path).toString('latin1').split('/')) {
    if (part === '' || part === '.') continue;
    row = tree.find(row, Buffer.from(part, 'latin1'));
    if (row < 0) return -1;
  }
  return tree.file(row);
}

/** Bytes of latin1 text in which \ooo is a byte. */
export const unescapeBytes = (text: string): Uint8Array =>
  Buffer.from(
    text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    'latin1',
  );

/** A value as getfattr and setfattr write it. */
export function attrValue(text: string): Uint8Array | undefined {
  if (text === '') return new Uint8Array(0);
  if (/^0x([0-9a-f]{2})*$/i.test(text)) return Buffer.from(text.slice(2), 'hex');
  if (/^0s[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text.slice(2), 'base64');
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(text);
  if (quoted === null) return undefined;
  return Buffer.from(
    quoted[1].replace(/\\([0-3][0-7]{2}|.)/g, (_, c: string) =>
      c.length === 3 ? String.fromCharCode(Number.parseInt(c, 8)) : c,
    ),
    'latin1',
  );
}
