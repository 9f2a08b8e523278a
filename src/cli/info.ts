/** `xfsimg info IMAGE` */
import type { Command } from 'commander';
import { addImageOptions, type ImageOptions, openImage } from './image.js';
import { addTableOptions, type TableOptions } from './render/table.js';

export function register(program: Command): void {
  const command = program
    .command('info')
    .description('Geometry, features and use of the filesystem in IMAGE.')
    .argument('<image>', 'image file or block device');
  addImageOptions(command);
  addTableOptions(command);
  command.action(async (path: string, options: ImageOptions & TableOptions) => {
    const [{ dumpInfo, INFO }, { openTable }, { Damage }] = await Promise.all([
      import('../dump/info.js'),
      import('./render/table.js'),
      import('./damage.js'),
    ]);
    const volume = openImage(path, options);
    const damage = new Damage(volume, path);
    const rows = await openTable(INFO, options, { image: path, volume });
    dumpInfo(volume, rows);
    rows.finish();
    damage.finish();
    volume.close();
  });
}
