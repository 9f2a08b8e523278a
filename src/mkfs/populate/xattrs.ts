/**
 * Attributes of a directory's files. Node has no call for them, so getfattr lists those of the whole tree
 * beside the scan, into a file that is read when both are done.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unescapeBytes } from './rules.js';
import type { SourceTree, SourceXattr } from './tree.js';

export interface XattrScan {
  /** Adds what was found to the rows of `tree`; says once where it could not be read. */
  addTo(tree: SourceTree, warnings: string[]): Promise<void>;
  close(): void;
}

/** Attributes of what is below `path`, or of the one name `only` in it. */
export function startXattrs(path: string, only = '.'): XattrScan {
  const folder = mkdtempSync(join(tmpdir(), 'xfsimg-'));
  const file = join(folder, 'xattrs');
  const out = openSync(file, 'w+');
  let failure: string | undefined;
  let child: ChildProcess | undefined;
  const ended = new Promise<void>((resolve) => {
    child = spawn('getfattr', ['-R', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', '--', only], {
      cwd: path,
      stdio: ['ignore', out, 'ignore'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      failure = error.code === 'ENOENT' ? 'getfattr is not installed' : error.message;
      resolve();
    });
    child.on('exit', () => resolve());
  });
  return {
    async addTo(tree, warnings) {
      await ended;
      if (failure !== undefined)
        warnings.push(`extended attributes are left out: ${failure} (--metadata can give them)`);
      else parseGetfattr(out, tree);
    },
    close() {
      child?.kill();
      closeSync(out);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Blocks of "# file: PATH", then NAME=0xHEX lines; bytes a line could not hold are \ooo. */
function parseGetfattr(fd: number, tree: SourceTree): void {
  let attrs: SourceXattr[] = [];
  let row = -1;
  const end = (): void => {
    if (row >= 0 && attrs.length > 0) tree.xattrs.set(row, attrs);
  };
  for (const line of lines(fd)) {
    if (line.startsWith('# file: ')) {
      end();
      attrs = [];
      row = rowOf(tree, unescapeBytes(line.slice(8)));
      continue;
    }
    if (line === '' || row < 0) continue;
    const equals = line.lastIndexOf('=0x');
    const name = unescapeBytes(equals < 0 ? line : line.slice(0, equals));
    const value = equals < 0 ? new Uint8Array(0) : Buffer.from(line.slice(equals + 3), 'hex');
    attrs.push({ name, value });
  }
  end();
}

function rowOf(tree: SourceTree, path: Uint8Array): number {
  let row = 0;
  for (const part of Buffer.from(path).toString('latin1').split('/')) {
    if (part === '.' || part === '') continue;
    row = tree.find(row, Buffer.from(part, 'latin1'));
    if (row < 0) return -1;
  }
  // Of several links to a file one row keeps its metadata.
  return tree.file(row);
}

function* lines(fd: number): Generator<string> {
  const buffer = Buffer.alloc(2 ** 16);
  let rest = '';
  for (let at = 0; ; ) {
    const n = readSync(fd, buffer, 0, buffer.length, at);
    if (n === 0) break;
    at += n;
    const parts = (rest + buffer.toString('latin1', 0, n)).split('\n');
    rest = parts.pop() as string;
    yield* parts;
  }
  if (rest !== '') yield rest;
}
