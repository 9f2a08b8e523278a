/**
 * What Linux and its tools say of images that differ in a few pages from one they all begin with. Of an image
 * only those pages are kept, so that thousands of them can be told apart at little cost.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fsblockOf, fsblockOffset, type Geometry } from '../../src/format/geometry.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { MemorySource } from '../../src/image/source.js';
import { walkRecords } from '../../src/volume/check.js';
import { openVolume } from '../../src/volume/volume.js';
import { essence, tmpdir } from '../support/oracle.js';
import { quoted, Shell } from '../support/shell.js';
import { describeTree } from '../support/tree.js';

const PAGE = 4096;
/** Bytes held against what was there in one go. */
const PIECE = 16 * PAGE;

/** Pages in which an image differs from the base, by number. */
export type Pages = ReadonlyMap<number, Uint8Array>;

/** What stands in an image, and what Linux and its tools say of it. */
export interface Verdict {
  /** Everything Linux shows, as one word. */
  readonly word: string;
  /** Free blocks. */
  readonly free: number;
  /** What xfs_repair -n complains of. */
  readonly complaint: string | undefined;
}

/** Linux's judgement of images; of each that is another than those before, once. */
export class Judge {
  /** The image all begin with. */
  readonly base: MemorySource;
  readonly #folder = tmpdir();
  readonly #shell = new Shell();
  /** The image file Linux works on, and what is in it. */
  readonly #path = join(this.#folder, 'cut');
  readonly #file: Buffer;
  readonly #now: Buffer;
  /** Pages in which the file may differ from the base. */
  #touched = new Set<number>();
  readonly #g: Geometry;
  /** Verdicts by what stands in the image, its log and free blocks aside: that is all they depend on. */
  readonly #known = new Map<string, Verdict>();
  readonly #log: { readonly from: number; readonly to: number };
  /** Images recovered by Linux, and images xfs_repair looked at and Linux showed. */
  recovered = 0;
  looked = 0;

  constructor(path: string) {
    const base = readFileSync(path);
    this.base = new MemorySource(base);
    this.#file = Buffer.from(base);
    this.#now = Buffer.alloc(base.length);
    writeFileSync(this.#path, base);
    const { g } = openVolume(this.base);
    this.#g = g;
    const from = fsblockOffset(g, g.logstart);
    this.#log = { from: from / PAGE, to: (from + g.logblocks * g.blocksize) / PAGE };
  }

  close(): void {
    this.#shell.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Makes the file the base with these pages in it. */
  #set(pages: Pages): void {
    const fd = openSync(this.#path, 'r+');
    const before = this.#touched;
    this.#touched = new Set(pages.keys());
    for (const page of new Set([...before, ...this.#touched])) {
      const want = pages.get(page) ?? this.base.bytes.subarray(page * PAGE, (page + 1) * PAGE);
      const there = this.#file.subarray(page * PAGE, (page + 1) * PAGE);
      if (there.equals(want)) continue;
      writeSync(fd, want, 0, PAGE, page * PAGE);
      there.set(want);
    }
    closeSync(fd);
  }

  /** What is in the file after others have written to it. */
  #get(): Pages {
    const fd = openSync(this.#path, 'r');
    readSync(fd, this.#now, 0, this.#now.length, 0);
    closeSync(fd);
    for (let at = 0; at < this.#now.length; at += PIECE) {
      if (this.#now.compare(this.#file, at, at + PIECE, at, at + PIECE) === 0) continue;
      for (let page = at / PAGE; page < (at + PIECE) / PAGE; page++) this.#touched.add(page);
      this.#now.copy(this.#file, at, at, at + PIECE);
    }
    return new Map([...this.#touched].map((p) => [p, this.#file.subarray(p * PAGE, (p + 1) * PAGE)]));
  }

  /** Has Linux mount an image, which recovers it, and tells what came of that. */
  byLinux(pages: Pages): Verdict {
    this.recovered++;
    this.#set(pages);
    this.#mounted('noatime');
    return this.of(this.#get());
  }

  /** `check` is done once for what stands in an image; it throws what is wrong. */
  of(pages: Pages, check: () => void = () => {}): Verdict {
    const key = this.key(this.#thatCount(pages));
    let verdict = this.#known.get(key);
    if (verdict === undefined) {
      check();
      this.#set(pages);
      verdict = this.#look();
      this.#known.set(key, verdict);
    }
    return verdict;
  }

  /** The pages without those of the log, and with zeros in free blocks. */
  #thatCount(pages: Pages): Pages {
    const g = this.#g;
    const out = new Map<number, Uint8Array>();
    for (const [page, bytes] of pages)
      if (page < this.#log.from || page >= this.#log.to) out.set(page, bytes);
    const volume = openVolume(new OverlaySource(this.base, new Map(pages)));
    const zero = (from: number, to: number): void => {
      for (let at = from; at < to; ) {
        const page = Math.floor(at / PAGE);
        const end = Math.min(to, (page + 1) * PAGE);
        const bytes = out.get(page);
        if (bytes !== undefined) out.set(page, bytes.slice().fill(0, at - page * PAGE, end - page * PAGE));
        at = end;
      }
    };
    for (let agno = 0; agno < g.agcount; agno++)
      walkRecords(volume, agno, 'bnobt', (record, at) => {
        const start = fsblockOffset(g, fsblockOf(g, agno, record.getUint32(at)));
        zero(start, start + record.getUint32(at + 4) * g.blocksize);
      });
    return out;
  }

  #look(): Verdict {
    this.looked++;
    const { status, output } = this.#shell.try(`xfs_repair -n -m 64 -f ${quoted(this.#path)}`);
    // sb_fdblocks.
    const free = Number(this.#file.readBigUInt64BE(144));
    const complaint = status === 0 ? undefined : essence(output);
    return { complaint, free, word: this.#treeWord() };
  }

  /** Mounts the file, runs a line of shell in it, unmounts. */
  #mounted<T>(options: string, look?: (root: string) => T): T | undefined {
    const { mountpoint } = this.#shell;
    const mount = `mount -t xfs -o loop,nouuid,${options} ${quoted(this.#path)} ${quoted(mountpoint)}`;
    const unmount = `umount ${quoted(mountpoint)}`;
    if (look === undefined) {
      this.#shell.run(`${mount} && ${unmount}`);
      return undefined;
    }
    this.#shell.run(mount);
    try {
      return look(mountpoint);
    } finally {
      this.#shell.run(unmount);
    }
  }

  /** Everything Linux shows. Reading times aside: looking changes them. */
  #treeWord(): string {
    const show = (root: string): string => {
      const nodes = [...describeTree(root, { xattrs: false })].map(([path, { atime: _, ...node }]) => [
        path,
        { ...node, xattrs: 0 },
      ]);
      const attributes = this.#shell.run(
        `cd ${quoted(root)} && getfattr -R -P -h -d -m - -e hex . ; s=$?; cd /; (exit $s)`,
      );
      const text = JSON.stringify([nodes, sorted(attributes)], (_key, value) =>
        typeof value === 'bigint' ? `${value}` : value,
      );
      return createHash('sha256').update(text).digest('hex').slice(0, 16);
    };
    return this.#mounted('ro', show)!;
  }

  /** A word for what stands in an image. */
  key(pages: Pages): string {
    const hash = createHash('sha1');
    for (const page of [...pages.keys()].sort((a, b) => a - b)) {
      const bytes = pages.get(page)!;
      if (Buffer.compare(bytes, this.base.bytes.subarray(page * PAGE, (page + 1) * PAGE)) === 0) continue;
      hash.update(`${page} `).update(bytes);
    }
    return hash.digest('hex');
  }
}

/** Files and attributes getfattr prints, in one order. */
const sorted = (text: string): string[][] =>
  text
    .split('\n\n')
    .map((file) => file.split('\n').sort())
    .sort((a, b) => (a[0] < b[0] ? -1 : 1));
