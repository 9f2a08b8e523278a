/**
 * Commands that change an image. Each is described once, as an `EditCommand`, and runs alone or as a line of
 * `xfsimg edit --script`. A new one is a file like mkdir.ts with `edit` and `register`, and a line in
 * commands.ts.
 */
import type { Command } from 'commander';
import type { Edit } from '../edit/edit.js';
import { addImageOptions, type ImageOptions } from './image.js';

/** What a command that runs is given. */
export interface EditContext {
  readonly edit: Edit;
  /** The image's path, for messages. */
  readonly image: string;
  /** Everything standard input has. Throws where a script is read from it. */
  input(): Uint8Array;
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
}

/** The commander command of an edit command. */
export function registerEdit(program: Command, edit: EditCommand): void {
  const command = program.command(edit.name).argument('<image>', 'image file or block device');
  edit.define(command);
  addImageOptions(command).option('--force', 'even if the image is in use');
  command.action(async (image: string) => {
    const options = command.opts<EditOptions>();
    const { editImage, stdinBytes } = await import('./edit-image.js');
    await editImage(image, options, (opened) =>
      edit.run(
        { edit: opened, image, input: stdinBytes, note: (line) => note(image, line) },
        command.processedArgs.slice(1),
        options,
      ),
    );
  });
}

export function note(image: string, line: string): void {
  process.stderr.write(`xfsimg: ${image}: ${line}\n`);
}
