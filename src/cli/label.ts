/** `xfsimg label IMAGE [LABEL]` */
import type { Command } from 'commander';
import { addEditOptions, type EditOptions, note } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

interface LabelFlags extends EditOptions {
  clear?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('label')
    .description('Show the label of a filesystem, or set it.')
    .argument('<image>', 'image file or block device')
    .argument('[label]', 'the new label, at most 12 bytes')
    .option('--clear', 'no label any more');
  addEditOptions(command).action(label);
}

async function label(image: string, text: string | undefined, flags: LabelFlags): Promise<void> {
  if (text !== undefined && flags.clear)
    throw new CliError('label: a new label and --clear exclude each other', EXIT.USAGE);
  const { bytesToText, textToBytes } = await import('../format/text.js');
  if (text === undefined && !flags.clear) {
    const [{ openImage }, { SUPERBLOCK }, { say }] = await Promise.all([
      import('./image.js'),
      import('../format/superblock.js'),
      import('./render/output.js'),
    ]);
    const volume = openImage(image, flags);
    say(`${String(SUPERBLOCK.decode(volume.superblock).fname)}\n`);
    volume.close();
    return;
  }
  const bytes = textToBytes(text ?? '');
  if (bytes.length > 12)
    throw new CliError(
      `label: '${bytesToText(bytes)}' has ${bytes.length} bytes, a label at most 12`,
      EXIT.USAGE,
    );
  const [{ editImage }, { setLabel }] = await Promise.all([
    import('./edit-image.js'),
    import('../edit/label.js'),
  ]);
  await editImage(image, flags, (edit) => {
    for (const agno of setLabel(edit, bytes))
      note(image, `the superblock of AG ${agno} is damaged and keeps the old label: xfsimg repair`);
  });
}
