/** From an image's path to an open edit and back to a clean log, with every error as one line. */
import type { Edit, openEdit } from '../edit/edit.js';
import { CutSource, PowerCut } from '../image/cut.js';
import type { Source } from '../image/source.js';
import { type CutPoint, type EditOptions, note } from './edit-support.js';
import { CliError, EXIT } from './errors.js';
import { imageError, openImage, openImageSource } from './image.js';
import { Stopped } from './interrupt.js';
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
  const image = openImageSource(path, { ...options, write: true });
  const { openEdit } = await import('../edit/edit.js');
  const { cut } = options;
  const source = cut === undefined ? image : new CutSource(image);
  try {
    const edit = open(openEdit, path, source, cut);
    try {
      await work(edit);
    } catch (error) {
      if (!(error instanceof PowerCut || error instanceof Stopped)) keepDone(edit, error);
      throw error;
    }
    if (cut !== undefined && 'after' in cut) cutBehind(edit, source as CutSource, cut.after);
    edit.close();
    if (options.verbose) figures(path, edit);
    if (cut !== undefined)
      note(path, `done before the cut, with ${(source as CutSource).sectors} sectors written`);
  } catch (error) {
    throw error instanceof PowerCut ? cutError(path, error, cut) : editError(path, error);
  } finally {
    source.close();
  }
}

function open(edits: typeof openEdit, path: string, source: Source, cut: CutPoint | undefined): Edit {
  const cutting = source as CutSource;
  const edit = edits(
    source,
    cut === undefined || !('after' in cut)
      ? {}
      : {
          onStep: (step) => {
            if (step === cut.after) cutting.cut();
          },
        },
  );
  const { recovery } = edit;
  if (!recovery.clean) note(path, `log replayed first, ${recovery.transactions} transactions`);
  // What a replay writes does not count.
  if (cut !== undefined) cutting.start('sectors' in cut ? cut.sectors : undefined);
  return edit;
}

/** The steps behind the last transaction. */
function cutBehind(edit: Edit, source: CutSource, step: string): void {
  if (step === 'log') edit.engine.flush();
  else if (step === 'place') edit.engine.settle();
  else return;
  source.cut();
}

function cutError(path: string, { sectors }: PowerCut, cut: CutPoint | undefined): CliError {
  const step = cut !== undefined && 'after' in cut ? `, after ${cut.after}` : '';
  return new CliError(
    `${path}: power cut after ${sectors} sectors written${step}; xfsimg log IMAGE status tells what recovery will do`,
    EXIT.CUT,
  );
}

function figures(path: string, { engine }: Edit): void {
  const { commits, checkpoints, writeBacks } = engine.checkpoints.counts;
  note(
    path,
    `${commits} transactions, ${checkpoints} checkpoints, ${writeBacks} write-backs, ` +
      `${engine.refcountLookups} lookups in refcount btrees`,
  );
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
  if (name === 'MkfsError') return new CliError((error as Error).message, EXIT.FAILED);
  if (name === 'LogError')
    return new CliError(`${path}: ${(error as Error).message}; nothing was written`, EXIT.UNUSABLE);
  return imageError(path, error);
}
