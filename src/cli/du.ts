/** `xfsimg du IMAGE [PATH...]` */
import { type Command, Option } from 'commander';
import { addImageOptions, type ImageOptions, numberArgument, openImage } from './image.js';
import { addTableOptions, type TableOptions } from './render/table.js';

interface DuOptions extends ImageOptions, TableOptions {
  all?: boolean;
  depth?: number;
  summarize?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('du')
    .description('What files and directories take, what they share, and what deleting them would free.')
    .argument('<image>', 'image file or block device')
    .argument('[paths...]', 'files or directories (default: the root directory)')
    .option('-a, --all', 'files too, not directories alone')
    .option('-s, --summarize', 'the paths given alone: --depth 0')
    .addOption(
      new Option('-d, --depth <n>', 'levels of directories to show')
        .argParser(numberArgument(0))
        .conflicts('summarize'),
    );
  addTableOptions(addImageOptions(command)).action(
    async (image: string, paths: string[], options: DuOptions) => {
      const [{ DiskUsage }, { DU }, { openTable }, { Damage }, { findOperand }] = await Promise.all([
        import('../dump/du.js'),
        import('../dump/rows/du.js'),
        import('./render/table.js'),
        import('./damage.js'),
        import('./operands.js'),
      ]);
      const volume = openImage(image, options);
      const damage = new Damage(volume, image);
      const usage = damage.guard(() => new DiskUsage(volume));
      const rows = await openTable(DU, options, { image, volume });
      const depth = options.summarize ? 0 : (options.depth ?? Number.POSITIVE_INFINITY);
      for (const path of paths.length > 0 ? paths : ['/']) {
        const inode = findOperand(volume, path, damage, { follow: false });
        if (usage === undefined || inode === undefined) continue;
        usage.emit(rows, usage.node(inode.ino), { depth, files: options.all === true });
      }
      rows.finish();
      damage.finish();
      volume.close();
    },
  );
}
