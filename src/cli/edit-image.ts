/** From an image's path to an open edit and back to a clean log, with every error as one line. */
import { readFileSync } from 'node:fs';
import { type Edit, openEdit } from '../edit/edit.js';
import type { Source } from '../image/source.js';
import { type EditOptions, note } from './edit-support.js';
import { CliError, EXIT } from './errors.js';
import { imageError, openImage, openImageSource } from './image.js';
import { refuseInUse } from './inuse.js';

/**
 * Opens the image, runs `work`, and writes back what it did, also where it throws: what was done before that
 * is kept. Throws CliError.
 */
export async function editImage(
  path: string,
  options: EditOptions,
  work: (edit: Edit) => Promise<void> | void,
): Promise<void> {
  refuseInUse(path, options.force);
  // Looked at first: what is no filesystem is refused by name, whether it can be written or not.
  openImage(path, options).close();
  const source = openImageSource(path, { ...options, write: true });
  try {
    const edit = open(path, source);
    try {
      await work(edit);
    } catch (error) {
      keepDone(edit, error);
      throw error;
    }
    edit.close();
  } catch (error) {
    throw editError(path, error);
  } finally {
    source.close();
  }
}

function open(path: string, source: Source): Edit {
  const edit = openEdit(source);
  const { recovery } = edit;
  if (!recovery.clean) note(path, `log replayed first, ${recovery.transactions} transactions`);
  return edit;
}

/** Writes back what was done before an error; where that fails too, the first error is the one to show. */
function keepDone(edit: Edit, error: unknown): void {
  try {
    edit.close();
  } catch (second) {
    if (error instanceof Error) error.cause ??= second;
  }
}

/** One line and an exit status for what an edit throws. */
export function editError(path: string, error: unknown): unknown {
  const name = error instanceof Error ? error.name : '';
  if (name === 'EditError' || name === 'PathError' || name === 'NoSpaceError')
    return new CliError(`${path}: ${(error as Error).message}`, EXIT.FAILED);
  if (name === 'LogError')
    return new CliError(`${path}: ${(error as Error).message}; nothing was written`, EXIT.UNUSABLE);
  return imageError(path, error);
}

/** Everything standard input has. */
export function stdinBytes(): Uint8Array {
  return readFileSync(0);
}
