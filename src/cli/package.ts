/** Where the package's own files are: the bundle stands in dist/, the source in src/cli/. */
import { existsSync } from 'node:fs';

/** The URL of a file or folder at the package's top: package.json is the nearest above either. */
export function packageUrl(name: string): URL {
  for (const up of ['../', '../../']) {
    const top = new URL(up, import.meta.url);
    if (existsSync(new URL('package.json', top))) return new URL(name, top);
  }
  throw new Error('package.json is missing: the package is not whole');
}
