import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir as systemTmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './oracle.js';
import { type MkfsOptions, mkfs, type Notes, type PopulateOptions, populate } from './populate.js';

const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * The path of an image that is built once and kept for later runs under the system's temporary folder.
 * `build` makes it at the path it is given; what it returns must survive JSON and comes back as `value`.
 * The image is shared between processes: copy it (`copyImage`) before changing or mounting it read-write.
 * It is built anew when the generators, the kernel or xfsprogs have changed.
 */
export function cachedImage<T>(key: string, build: (path: string) => T): { image: string; value: T } {
  const { base, image, note } = places(key);
  // The note is renamed into place last: where it stands, the image is whole.
  if (!existsSync(note)) {
    const making = `${base}.${process.pid}`;
    const value = build(`${making}.img`) ?? null;
    writeFileSync(`${making}.json`, JSON.stringify({ key, value }));
    renameSync(`${making}.img`, image);
    renameSync(`${making}.json`, note);
  }
  return { image, value: JSON.parse(readFileSync(note, 'utf8')).value };
}

/** Drop an image from the cache. */
export function forgetImage(key: string): void {
  const { image, note } = places(key);
  rmSync(note, { force: true });
  rmSync(image, { force: true });
}

function places(key: string): { base: string; image: string; note: string } {
  const folder = join(systemTmpdir(), 'xfsimg-test-images');
  mkdirSync(folder, { recursive: true });
  const name = createHash('sha256').update(`${fingerprint()}\0${key}`).digest('hex').slice(0, 24);
  const base = join(folder, name);
  return { base, image: `${base}.img`, note: `${base}.json` };
}

/** A populated image (see `populate`) from the cache, with the notes on where its shapes are. */
export function populated(options: { mkfs?: MkfsOptions; populate?: PopulateOptions } = {}): {
  image: string;
  notes: Notes;
} {
  const { image, value } = cachedImage(`populate ${JSON.stringify(options)}`, (path) => {
    mkfs(path, options.mkfs);
    return [...populate(path, options.populate)];
  });
  return { image, notes: new Map(value) };
}

let known: string | undefined;

function fingerprint(): string {
  if (known !== undefined) return known;
  const hash = createHash('sha256').update(release());
  hash.update(run('mkfs.xfs', ['-V']).stdout);
  for (const file of readdirSync(here, { recursive: true }) as string[]) {
    if (/(populate|bench)[^.]*\.ts$/.test(file)) hash.update(readFileSync(join(here, file)));
  }
  known = hash.digest('hex');
  return known;
}
