/** Random edits: some of what exists, some of what does not, now and then one that must be refused. */
import { aclFromText, aclToXattr } from '../../src/format/acl.js';
import { random } from '../support/random.js';
import type { Operation } from './operations.js';

type Kind = 'dir' | 'file' | 'symlink' | 'other';

/** Names that are there, kept in step with what was done. */
export class Model {
  readonly kinds = new Map<string, Kind>([['/', 'dir']]);

  add(path: string, kind: Kind): void {
    this.kinds.set(path, kind);
  }

  remove(path: string): void {
    for (const at of [...this.kinds.keys()])
      if (at === path || at.startsWith(`${path}/`)) this.kinds.delete(at);
  }

  move(from: string, to: string): void {
    if (from === to) return;
    const kind = this.kinds.get(from);
    if (kind === undefined) return;
    this.remove(to);
    for (const [at, k] of [...this.kinds])
      if (at === from || at.startsWith(`${from}/`)) {
        this.kinds.delete(at);
        this.kinds.set(to + at.slice(from.length), k);
      }
  }

  of(...kinds: Kind[]): string[] {
    return [...this.kinds].filter(([path, k]) => path !== '/' && kinds.includes(k)).map(([path]) => path);
  }

  /** What an operation that went well changed. */
  done(o: Operation): void {
    switch (o.op) {
      case 'mkdir':
      case 'tree':
        return this.add(o.path, 'dir');
      case 'create':
      case 'put':
        return this.add(o.path, 'file');
      case 'symlink':
        return this.add(o.path, 'symlink');
      case 'mknod':
        return this.add(o.path, 'other');
      case 'link':
        return this.add(o.to, this.kinds.get(o.path) ?? 'file');
      case 'rename':
        return this.move(o.path, o.to);
      case 'unlink':
      case 'rmdir':
      case 'remove':
        return this.remove(o.path);
    }
  }
}

export interface ChooserOptions {
  readonly seed: number;
  readonly reflink: boolean;
  /** Largest file in bytes. */
  readonly largest: number;
  /** Folders of this machine to be put in as trees. */
  readonly trees: readonly string[];
  /** Directories that are never removed or moved: they have flags to inherit. */
  readonly special: readonly string[];
}

const ACLS = [
  'user::rwx,user:5:r-x,group::r--,mask::rwx,other::---',
  'user::rw-,group::r--,group:7:rw-,mask::rw-,other::r--',
  'user::rwx,group::r-x,other::r-x',
];

export class Chooser {
  readonly #options: ChooserOptions;
  readonly #random: () => number;
  readonly model = new Model();
  #names = 0;
  #trees = 0;

  constructor(options: ChooserOptions) {
    this.#options = options;
    this.#random = random(options.seed);
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[this.#below(list.length)];
  }

  #bytes(length: number): Uint8Array {
    const out = Buffer.alloc(length);
    const word = Math.floor(this.#random() * 2 ** 32);
    for (let i = 0; i + 4 <= length; i += 4) out.writeUInt32LE((word + i) >>> 0, i);
    return out;
  }

  #name(): string {
    const n = this.#names++;
    if (this.#below(12) === 0) return `n${n}-${'long'.repeat(1 + this.#below(60))}`.slice(0, 255);
    return `n${n}`;
  }

  /** A path where nothing is yet; rarely one where something is. */
  #fresh(): string {
    const { kinds } = this.model;
    if (this.#below(20) === 0) return this.#any();
    const dirs = [...kinds].filter(([, k]) => k === 'dir').map(([p]) => p);
    // Some directories fill up: all forms come up.
    const dir =
      this.#below(3) > 0 ? dirs[this.#below(Math.min(4, dirs.length))] : dirs[this.#below(dirs.length)];
    return dir === '/' ? `/${this.#name()}` : `${dir}/${this.#name()}`;
  }

  #any(): string {
    return this.#pick(this.model.of('dir', 'file', 'symlink', 'other')) ?? '/nothing';
  }

  #file(): string {
    return (this.#below(25) === 0 ? this.#any() : this.#pick(this.model.of('file'))) ?? '/nothing';
  }

  #mode(): number {
    return this.#below(4) === 0
      ? this.#below(0o10000)
      : [0o644, 0o755, 0o600, 0o4755, 0o2775, 0o1777][this.#below(6)];
  }

  #size(): number {
    const { largest } = this.#options;
    const r = this.#below(10);
    if (r < 3) return this.#below(200);
    if (r < 8) return this.#below(20_000);
    return this.#below(largest);
  }

  next(): Operation {
    for (;;) {
      const o = this.#draw();
      // What has flags to hand down stays where it is.
      const touched = ['unlink', 'rmdir', 'remove', 'rename'].includes(o.op);
      const { special } = this.#options;
      if (touched && special.some((s) => s === o.path || s.startsWith(`${o.path}/`))) continue;
      if (o.op === 'rename' && (special.includes(o.to) || o.path === o.to)) continue;
      const deep = (o.op === 'chmod' && o.recursive) || (o.op === 'chown' && o.how === 'tree');
      if (deep && special.includes(o.path)) continue;
      return o;
    }
  }

  #draw(): Operation {
    const r = this.#below(100);
    if (r < 8)
      return { op: 'mkdir', path: this.#fresh(), mode: this.#below(3) === 0 ? this.#mode() : undefined };
    if (r < 16) return { op: 'create', path: this.#fresh() };
    if (r < 28) {
      const path = this.#below(4) === 0 ? this.#file() : this.#fresh();
      const mode = this.#below(2) === 0 ? this.#mode() : undefined;
      return { op: 'put', path, bytes: this.#bytes(this.#size()), mode };
    }
    if (r < 29 && this.#options.trees.length > 0) {
      const dir = this.#fresh();
      return {
        op: 'tree',
        path: `${dir}-tree`,
        from: this.#options.trees[this.#trees++ % this.#options.trees.length],
      };
    }
    if (r < 36) return { op: 'unlink', path: this.#below(5) === 0 ? this.#any() : this.#file() };
    if (r < 38) return { op: 'rmdir', path: this.#pick(this.model.of('dir')) ?? '/nothing' };
    if (r < 40) return { op: 'remove', path: this.#any() };
    if (r < 50) {
      const to = this.#below(3) === 0 ? this.#any() : this.#fresh();
      return { op: 'rename', path: this.#any(), to };
    }
    if (r < 55) return { op: 'link', path: this.#any(), to: this.#fresh() };
    if (r < 59) {
      const path = this.#fresh();
      // Relative, for the root of the image is not that of this machine.
      const up = '../'.repeat(path.split('/').length - 2);
      const target =
        this.#below(3) === 0 ? `/${'x'.repeat(1 + this.#below(1022))}` : up + this.#any().slice(1);
      return { op: 'symlink', path, target };
    }
    if (r < 61) {
      const type = (['p', 'b', 'c'] as const)[this.#below(3)];
      const mode = this.#below(2) === 0 ? this.#mode() & 0o777 : undefined;
      return {
        op: 'mknod',
        path: this.#fresh(),
        type,
        major: this.#below(300),
        minor: this.#below(3000),
        mode,
      };
    }
    if (r < 65) {
      const symbolic = ['u+x,g-w', 'a=rX', 'go=', '+s', 'u=rwx,g=u', 'o+t,-x', 'ug+s', 'a-s'];
      const mode = this.#below(2) === 0 ? this.#pick(symbolic)! : this.#mode().toString(8);
      const recursive = this.#below(4) === 0;
      return {
        op: 'chmod',
        path: recursive ? (this.#pick(this.model.of('dir')) ?? '/') : this.#notLink(),
        mode,
        recursive,
      };
    }
    if (r < 69) {
      const how = (['file', 'link', 'tree'] as const)[this.#below(3)];
      const path = how === 'file' ? this.#notLink() : this.#any();
      return { op: 'chown', path, uid: this.#below(70_000), gid: this.#below(70_000), how };
    }
    if (r < 71) {
      const time = (): number => 1_000_000_000 + this.#below(100_000_000);
      return { op: 'times', path: this.#any(), atime: time(), mtime: time(), link: true };
    }
    if (r < 80) return this.#attribute();
    if (r < 89)
      return { op: 'write', path: this.#file(), at: this.#size(), bytes: this.#bytes(1 + this.#size()) };
    if (r < 92) return { op: 'truncate', path: this.#file(), size: this.#size() };
    if (r < 95) {
      const from = this.#size();
      return { op: 'punch', path: this.#file(), from, to: from + 1 + this.#size() };
    }
    if (this.#options.reflink) return { op: 'clone', path: this.#file(), to: this.#file() };
    return { op: 'create', path: this.#fresh() };
  }

  #notLink(): string {
    return this.#pick(this.model.of('dir', 'file', 'other')) ?? '/nothing';
  }

  #attribute(): Operation {
    const path = this.#any();
    const kind = this.#below(10);
    const name = `${['user', 'trusted', 'security'][this.#below(3)]}.${'a'.repeat(1 + this.#below(30))}${this.#below(6)}`;
    if (kind === 0) return { op: 'removefattr', path, name };
    if (kind === 1) return { op: 'setfattr', path, name: 'security.capability', value: CAPABILITY };
    if (kind < 4) {
      const which = this.#below(2) === 0 ? 'access' : 'default';
      const acl = aclToXattr(aclFromText(this.#pick(ACLS)!, () => undefined)!);
      return { op: 'setfattr', path: this.#notLink(), name: `system.posix_acl_${which}`, value: acl };
    }
    const sizes = [0, 5, 40, 300, 3000, 20_000, 65_536];
    const most = sizes[this.#below(this.#below(3) === 0 ? 7 : 4)];
    return { op: 'setfattr', path, name, value: this.#bytes(most) };
  }
}

/** VFS_CAP_REVISION_2, cap_net_raw permitted and effective. */
const CAPABILITY = Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
