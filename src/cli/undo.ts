/** `xfsimg undo IMAGE FILE` */
import type { Command } from 'commander';
import { CliError, EXIT } from './errors.js';
import { addImageOptions, type ImageOptions, imageError, openImageSource } from './image.js';

export function register(program: Command): void {
  const command = program
    .command('undo')
    .description('Put back what a repair overwrote, from its --undo FILE.')
    .argument('<image>', 'image file or block device')
    .argument('<file>', 'what xfsimg repair --undo wrote')
    .option('--force', 'even if the image is in use');
  addImageOptions(command);
  command.action(async (image: string, file: string, options: ImageOptions & { force?: boolean }) => {
    const [{ applyUndo }, { imageInUse }] = await Promise.all([
      import('../repair/undo.js'),
      import('../image/inuse.js'),
    ]);
    const use = options.force === true ? undefined : imageInUse(image);
    if (use !== undefined)
      throw new CliError(`${image}: ${use}; --force writes to it all the same`, EXIT.UNUSABLE);
    const source = openImageSource(image, { ...options, write: true });
    try {
      const bytes = applyUndo(file, source);
      process.stderr.write(`xfsimg: ${image}: ${bytes} bytes put back\n`);
    } catch (error) {
      throw imageError(image, error);
    } finally {
      source.close();
    }
  });
}
