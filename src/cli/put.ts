/** `xfsimg put IMAGE SRC... PATH` */
import { lstatSync } from 'node:fs';
import type { Command } from 'commander';
import { type EditCommand, type EditContext, registerEdit } from './edit-support.js';
import { CliError, EXIT } from './errors.js';
import { octalMode } from './modes.js';
import { lastOperand } from './operands.js';

interface PutFlags {
  recursive?: boolean;
  targetDirectory: boolean;
  owner?: string;
  mode?: number;
  exclude?: string[];
  quiet?: boolean;
}

export const edit: EditCommand = {
  name: 'put',
  define: (command) =>
    command
      .description(
        'Put files of this machine into an image, with owners, times, attributes, holes and hard links.',
      )
      .argument(
        '<sources...>',
        'files, - for standard input; last a path of the image: a name or a directory',
      )
      .option('-r, --recursive', 'directories too, with all that is in them')
      .option('-T, --no-target-directory', 'the last operand is the new name, whatever stands there')
      .option('--owner <uid:gid>', 'owner of all that is put in')
      .option('-m, --mode <octal>', 'permissions of what comes from standard input (default: 644)', octalMode)
      .option('--exclude <glob>', 'leave out what matches; may be repeated', collect)
      .option('-q, --quiet', 'no progress on the terminal'),
  async run(context, [operands], options: PutFlags) {
    const { edit } = context;
    const { destinations, lastName } = await import('../edit/target.js');
    const { paths, last } = lastOperand(operands as string[], options.targetDirectory);
    // "dir/." is what is in dir; - has no name of its own.
    const named = paths.filter((path) => path !== '-' && !isUnnamed(lastName(path)));
    const to = options.targetDirectory && named.length > 0 ? destinations(edit, named, last) : [last];
    for (const path of paths) {
      const target = named.includes(path) ? to.shift()! : last;
      if (path === '-') await putStdin(context, target, options);
      else await putFile(context, path, target, options);
    }
  },
};

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

const isUnnamed = (name: Uint8Array): boolean =>
  ['', '.', '..'].includes(Buffer.from(name).toString('latin1'));

async function putStdin(context: EditContext, to: string | Uint8Array, options: PutFlags): Promise<void> {
  const [{ putInput }, { parseOwner }] = await Promise.all([
    import('../edit/put.js'),
    import('../mkfs/populate/rules.js'),
  ]);
  const owner = options.owner === undefined ? {} : parseOwner(options.owner);
  const input = context.stdin();
  try {
    putInput(context.edit, to, input, { mode: options.mode, ...owner });
  } finally {
    input.close();
  }
}

async function putFile(
  context: EditContext,
  path: string,
  to: string | Uint8Array,
  options: PutFlags,
): Promise<void> {
  const [
    { puttingTree },
    { openDirectory, openFile },
    { applyRules, parseOwner },
    { reason },
    { Progress },
    { Interrupt },
  ] = await Promise.all([
    import('../edit/put.js'),
    import('../mkfs/populate/directory.js'),
    import('../mkfs/populate/rules.js'),
    import('../image/source.js'),
    import('./render/progress.js'),
    import('./interrupt.js'),
  ]);
  let isDirectory: boolean;
  try {
    isDirectory = lstatSync(path).isDirectory();
  } catch (error) {
    throw new CliError(`${path}: ${reason(error)}`);
  }
  if (isDirectory && options.recursive !== true)
    throw new CliError(`${path}: is a directory: -r puts it in with all that is in it`, EXIT.FAILED);
  const rules = {
    exclude: options.exclude,
    owner: options.owner === undefined ? undefined : parseOwner(options.owner),
  };
  const source = isDirectory ? await openDirectory(path, rules) : await openFile(path);
  const progress = new Progress({ quiet: options.quiet });
  const interrupt = new Interrupt();
  try {
    applyRules(source.tree, rules);
    const total = source.tree.count;
    for (const done of puttingTree(context.edit, source, isDirectory ? 0 : 1, to)) {
      progress.update({ phase: 'putting', done, total, unit: 'files' });
      await interrupt.turn(
        () =>
          `of ${path}, ${done} of ${total} files are in, each whole; the same command puts in all of them`,
      );
    }
  } finally {
    progress.finish();
    interrupt.end();
    source.close();
  }
  for (const warning of source.warnings) context.note(warning);
}

export const register = (program: Command): void => registerEdit(program, edit);
