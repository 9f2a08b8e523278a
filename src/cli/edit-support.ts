/**
 * Commands that change an image. Each is described once, as an `EditCommand`, and runs alone or as a line of
 * `xfsimg edit --script`. A new one is a file like mkdir.ts with `edit` and `register`, and a line in
 * commands.ts.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Edit } from '../edit/edit.js';
import type { Input } from '../edit/input.js';
import { addImageOptions, type ImageOptions } from './image.js';

/** What a command that runs is given. */
export interface EditContext {
  readonly edit: Edit;
  /** The image's path, for messages. */
  readonly image: string;
  /** Standard input. Throws where a script is read from it. */
  stdin(): Input;
  /** A note on stderr. */
  note(line: string): void;
}

export interface EditCommand {
  readonly name: string;
  /** Adds description, arguments and options: all but IMAGE and its options. */
  define(command: Command): void;
  /**
   * Does it. `operands` and `options` are as commander makes them of what `define` added. It may throw
   * EditError, PathError, NoSpaceError, CorruptionError and CliError; what was done by then is kept.
   */
  run(context: EditContext, operands: readonly unknown[], options: object): Promise<void> | void;
}

export interface EditOptions extends ImageOptions {
  force?: boolean;
  cut?: CutPoint;
  verbose?: boolean;
}

/** Where `--cut` stops: after so many sectors written, or behind a named step. */
export type CutPoint = { readonly sectors: number } | { readonly after: string };

function cutArgument(value: string): CutPoint {
  const step = /^after:(T[1-9]\d*|data|log|place)$/.exec(value);
  if (step !== null) return { after: step[1] };
  if (/^\d+$/.test(value)) return { sectors: Number(value) };
  throw new InvalidArgumentError(
    'A number of sectors is expected, or after:T1, after:T2 ..., after:data, after:log, after:place.',
  );
}

/** The options that every command has which changes an image. */
export function addEditOptions(command: Command): Command {
  // With setfattr -v is the value, as everywhere.
  const verbose = command.options.some((o) => o.short === '-v') ? '--verbose' : '-v, --verbose';
  return addImageOptions(command)
    .option('--force', 'even if the image is in use')
    .option(verbose, 'what was written, in figures, on stderr')
    .addOption(
      new Option(
        '--cut <where>',
        'stop as a power cut would: after N sectors written, or after:T1, after:data, after:T2 ...,\n' +
          'after:log or after:place; exit status 3',
      ).argParser(cutArgument),
    );
}

/** The commander command of an edit command. */
export function registerEdit(program: Command, edit: EditCommand): void {
  const command = program.command(edit.name).argument('<image>', 'image file or block device');
  edit.define(command);
  addEditOptions(command);
  command.action(async (image: string) => {
    const options = command.opts<EditOptions>();
    const [{ editImage }, { readStdin }] = await Promise.all([
      import('./edit-image.js'),
      import('../edit/input.js'),
    ]);
    await editImage(image, options, (opened) =>
      edit.run(
        { edit: opened, image, stdin: readStdin, note: (line) => note(image, line) },
        command.processedArgs.slice(1),
        options,
      ),
    );
  });
}

export function note(image: string, line: string): void {
  process.stderr.write(`xfsimg: ${image}: ${line}\n`);
}
