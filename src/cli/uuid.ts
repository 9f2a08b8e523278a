/** `xfsimg uuid IMAGE [UUID|generate|restore]` */
import type { Command } from 'commander';
import { addEditOptions, type EditOptions, note } from './edit-support.js';
import { CliError, EXIT } from './errors.js';

export function register(program: Command): void {
  const command = program
    .command('uuid')
    .description('Show the UUID of a filesystem, or give it another.')
    .argument('<image>', 'image file or block device')
    .argument('[uuid]', 'the new UUID; generate makes a random one, restore brings back the first');
  addEditOptions(command).action(uuid);
}

async function uuid(image: string, given: string | undefined, options: EditOptions): Promise<void> {
  const { say } = await import('./render/output.js');
  if (given === undefined) {
    const { openImage } = await import('./image.js');
    const volume = openImage(image, options);
    say(`${volume.g.uuid}\n`);
    volume.close();
    return;
  }
  const [{ editImage }, { setUuid, UuidError }] = await Promise.all([
    import('./edit-image.js'),
    import('../edit/uuid.js'),
  ]);
  await editImage(image, options, (edit) => {
    try {
      const { uuid: now, left } = setUuid(edit, given);
      for (const agno of left)
        note(image, `the superblock of AG ${agno} is damaged and keeps the old UUID: xfsimg repair`);
      say(`${now}\n`);
    } catch (error) {
      throw error instanceof UuidError ? new CliError(`${image}: ${error.message}`, EXIT.USAGE) : error;
    }
  });
}
