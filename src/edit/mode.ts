/** Permissions as chmod takes them: octal, or changes in letters. Rules: POSIX chmod, and what GNU adds. */
import { S_ISGID, S_ISUID } from './inherit.js';

/** The permissions a file has after a change: `mode` without the file type. */
export type ModeChange = (mode: number, isDir: boolean) => number;

const ALL = 0o7777;
const WHO: Record<string, number> = { u: 0o4700, g: 0o2070, o: 0o1007, a: ALL };
const WHAT: Record<string, number> = { r: 0o444, w: 0o222, x: 0o111, s: 0o6000, t: 0o1000, X: 0 };
const COPY: Record<string, number> = { u: 6, g: 3, o: 0 };

/** One operator and what follows it. */
interface Clause {
  readonly who: number;
  readonly op: string;
  readonly bits: number;
  /** x where the file is a directory or anybody may execute it. */
  readonly ifAny: boolean;
  /** Bits are those another class has: by how much its own are shifted. */
  readonly copy: number | undefined;
  /** Bits named, which alone change a directory's setuid and setgid bits. */
  readonly mentioned: number;
}

/**
 * What a mode in octal ("755", "=644", "+111") or letters ("u+rwX,go-w", "g=u", "+s") does. `umask` counts
 * where no class is named. Undefined where the text is no mode.
 */
export function parseMode(text: string, umask: number): ModeChange | undefined {
  if (/^[0-7]{1,}$/.test(text)) {
    const bits = Number.parseInt(text, 8);
    if (bits > ALL) return undefined;
    const mentioned = text.length >= 5 ? ALL : bits | 0o777;
    return applying([{ who: ALL, op: '=', bits, ifAny: false, copy: undefined, mentioned }], umask);
  }
  const clauses: Clause[] = [];
  for (const part of text.split(',')) {
    const match = /^([ugoa]*)((?:[-+=](?:[0-7]+|[ugo]|[rwxXst]*))+)$/.exec(part);
    if (match === null) return undefined;
    let who = 0;
    for (const c of match[1]) who |= WHO[c];
    for (const [, op, what] of match[2].matchAll(/([-+=])([0-7]+|[ugo]|[rwxXst]*)/g)) {
      const clause = clauseOf(who, op, what);
      if (clause === undefined) return undefined;
      clauses.push(clause);
    }
  }
  return applying(clauses, umask);
}

function clauseOf(who: number, op: string, what: string): Clause | undefined {
  if (/^[0-7]+$/.test(what)) {
    const bits = Number.parseInt(what, 8);
    if (bits > ALL || who !== 0) return undefined;
    return { who: ALL, op, bits, ifAny: false, copy: undefined, mentioned: ALL };
  }
  if (what in COPY)
    return { who, op, bits: 0, ifAny: false, copy: COPY[what], mentioned: who === 0 ? 0o777 : who & 0o777 };
  let bits = 0;
  for (const c of what) bits |= WHAT[c];
  return {
    who,
    op,
    bits,
    ifAny: what.includes('X'),
    copy: undefined,
    mentioned: who === 0 ? bits : who & bits,
  };
}

function applying(clauses: readonly Clause[], umask: number): ModeChange {
  return (before, isDir) => {
    let mode = before & ALL;
    for (const c of clauses) {
      const kept = (isDir ? S_ISUID | S_ISGID : 0) & ~c.mentioned;
      let bits = c.bits;
      if (c.copy !== undefined) bits = ((mode >> c.copy) & 7) * 0o111;
      if (c.ifAny && (isDir || (mode & 0o111) !== 0)) bits |= 0o111;
      bits &= (c.who === 0 ? ~umask : c.who) & ~kept;
      if (c.op === '+') mode |= bits;
      else if (c.op === '-') mode &= ~bits;
      else mode = (mode & ((c.who === 0 ? 0 : ~c.who) | kept)) | bits;
    }
    return mode & ALL;
  };
}
