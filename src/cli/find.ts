/** `xfsimg find`: the options. What they do is in search.ts. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FLAG_NAMES } from '../format/mode.js';
import { addImageOptions, type ImageOptions, numberArgument, parseSize } from './image.js';
import { addTableOptions, type TableOptions } from './render/table.js';

/** A number to compare with: `+N` more than, `-N` less than, `N` exactly. */
export interface Comparison {
  readonly sign: -1 | 0 | 1;
  readonly value: number;
}

export interface FindOptions extends ImageOptions, TableOptions {
  name?: string;
  iname?: string;
  path?: string;
  type?: string[];
  size?: Comparison;
  links?: Comparison;
  uid?: number;
  gid?: number;
  inum?: number;
  flag?: string;
  maxdepth?: number;
  mindepth?: number;
  print0?: boolean;
}

const TYPES: Record<string, string> = {
  f: 'file',
  d: 'dir',
  l: 'symlink',
  p: 'fifo',
  s: 'socket',
  b: 'block',
  c: 'char',
};

function typesArgument(value: string): string[] {
  return value.split(',').map((t) => {
    const name = TYPES[t] ?? t;
    if (!Object.values(TYPES).includes(name))
      throw new InvalidArgumentError(`Known types are ${Object.entries(TYPES).flat().join(', ')}.`);
    return name;
  });
}

function comparison(value: string): Comparison {
  const sign = value[0] === '+' ? 1 : value[0] === '-' ? -1 : 0;
  const bytes = parseSize(sign === 0 ? value : value.slice(1));
  if (bytes === undefined)
    throw new InvalidArgumentError('N, +N (more than) or -N (less than) is expected, as in +1m.');
  return { sign, value: bytes };
}

export function register(program: Command): void {
  const number = numberArgument(0);
  const command = program
    .command('find')
    .description('Find files in an image.')
    .argument('<image>', 'image file or block device')
    .argument('[paths...]', 'where to begin (default: the root directory)')
    .option('--name <pattern>', "the file's name: * ? [a-z]")
    .option('--iname <pattern>', 'the same, capital or not')
    .option('--path <pattern>', 'the whole path')
    .addOption(
      new Option('--type <types>', 'f, d, l, p, s, b or c; several with commas').argParser(typesArgument),
    )
    .addOption(
      new Option('--size <n>', 'bytes: N, +N for more, -N for less (suffixes k, m, g, t)').argParser(
        comparison,
      ),
    )
    .addOption(new Option('--links <n>', 'names a file has: N, +N, -N').argParser(comparison))
    .addOption(new Option('--uid <n>', 'owner').argParser(number))
    .addOption(new Option('--gid <n>', 'group').argParser(number))
    .addOption(new Option('--inum <n>', 'inode number').argParser(number))
    .addOption(
      new Option('--flag <name>', 'inodes with this flag, such as reflink or immutable').choices(FLAG_NAMES),
    )
    .addOption(new Option('--maxdepth <n>', 'no deeper than this').argParser(number))
    .addOption(new Option('--mindepth <n>', 'nothing above this').argParser(number))
    .option('-0, --print0', 'end each path with a zero byte instead of a newline');
  addTableOptions(addImageOptions(command)).action(
    async (image: string, paths: string[], options: FindOptions) => {
      const { search } = await import('./search.js');
      await search(image, paths, options);
    },
  );
}
