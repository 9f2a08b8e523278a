/** `xfsimg dedupe IMAGE PATH...` */
import type { Command } from 'commander';
import { type EditCommand, registerEdit } from './edit-support.js';
import { asByCrash, untilInterrupted } from './interrupt.js';
import { addTableOptions, type TableOptions } from './render/table.js';

export const edit: EditCommand = {
  name: 'dedupe',
  define: (command) =>
    addTableOptions(
      command
        .description('Share equal blocks of files: found by checksum, compared byte by byte.')
        .argument('<paths...>', 'files, or directories with all that is in them'),
    ).addHelpText(
      'after',
      `
A row a file says what it had in common with the files before it. Blocks of zeros are given back as holes.
Contents and times of the files stay as they are; files nobody may change are left out.

Example:
  xfsimg dedupe disk.img /vm --columns shared,path --no-header | sort -n | tail`,
    ),
  async run({ edit, image, note }, [paths], options: TableOptions) {
    const [{ dedupeStarts, dedupeTree }, { DEDUPE }, { openTable }, { emitRow }, { showBytes }] =
      await Promise.all([
        import('../edit/dedupetree.js'),
        import('../dump/rows/dedupe.js'),
        import('./render/table.js'),
        import('../dump/table.js'),
        import('../format/text.js'),
      ]);
    const starts = dedupeStarts(edit, paths as string[]);
    const volume = { superblock: edit.engine.superblock.view, g: edit.g };
    const rows = await openTable(DEDUPE, options, { image, volume });
    const { blocksize } = edit.g;
    try {
      const { freed, skipped } = untilInterrupted(asByCrash(image), () =>
        dedupeTree(edit, starts, (path, d) =>
          emitRow(rows, DEDUPE, {
            bytes: d.blocks * blocksize,
            known: d.known * blocksize,
            shared: d.shared * blocksize,
            holes: d.holes * blocksize,
            path: showBytes(path),
          }),
        ),
      );
      if (skipped > 0) note(`${skipped} files left out: immutable or append-only`);
      note(`${freed * blocksize} bytes freed`);
    } finally {
      rows.finish();
    }
  },
};

export const register = (program: Command): void => registerEdit(program, edit);
