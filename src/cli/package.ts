/** Where the package's own files are: the bundle stands in dist/, the source in src/cli/. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The URL of a file or folder at the package's top: package.json is the nearest above either. */
export function packageUrl(name: string): URL {
  for (const up of ['../', '../../']) {
    const top = new URL(up, import.meta.url);
    if (existsSync(new URL('package.json', top))) return new URL(name, top);
  }
  throw new Error('package.json is missing: the package is not whole');
}

/** An installed package that is no part of the bundle: what `import()` gives, from the package's top. */
export const importPackage = <T>(name: string): Promise<T> =>
  createRequire(packageUrl('package.json'))('./bin/import.js')(name);
