/** `xfsimg tree`: directories drawn as a tree. */
import { type Command, Option } from 'commander';
import { addImageOptions, type ImageOptions, numberArgument } from './image.js';

interface TreeOptions extends ImageOptions {
  all?: boolean;
  level?: number;
  directories?: boolean;
  inode?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('tree')
    .description('Draw the directory tree of an image.')
    .argument('<image>', 'image file or block device')
    .argument('[path]', 'where to begin', '/')
    .option('-a, --all', 'names that begin with a dot too')
    .option('-d, --directories', 'directories alone')
    .option('-i, --inode', 'inode numbers')
    .addOption(new Option('-L, --level <n>', 'no deeper than this').argParser(numberArgument(1)));
  addImageOptions(command).action(tree);
}

const DOT = 0x2e;

async function tree(image: string, path: string, options: TreeOptions): Promise<void> {
  const [
    { openImage },
    { Damage },
    { findOperand },
    { Output },
    { NameWriter },
    { FTYPE },
    { byName, walkTree },
    { listingName },
    { readInode },
    { readSymlink },
    text,
  ] = await Promise.all([
    import('./image.js'),
    import('./damage.js'),
    import('./operands.js'),
    import('./render/output.js'),
    import('./names.js'),
    import('../format/dir.js'),
    import('../volume/path.js'),
    import('../volume/dir.js'),
    import('../volume/inode.js'),
    import('../volume/symlink.js'),
    import('../format/text.js'),
  ]);
  const volume = openImage(image, options);
  try {
    const damage = new Damage(volume, image);
    const out = new Output();
    const names = new NameWriter(out);
    const start = findOperand(volume, path, damage);
    if (start === undefined) return;
    names.write(text.textToBytes(path));
    out.text('\n');
    /** Entries still to draw in each directory on the way down: the last one has another corner. */
    const left: number[] = [];
    const shown = (name: Uint8Array, ftype: number): boolean =>
      (options.all === true || name[0] !== DOT) && (options.directories !== true || ftype === FTYPE.DIR);
    let directories = 0;
    let files = 0;
    const draw = (): void =>
      walkTree(
        volume,
        start,
        (entry) => {
          if (!shown(entry.name, entry.ftype)) return false;
          left.length = entry.depth + 1;
          left[entry.depth]--;
          for (let i = 0; i < entry.depth; i++) out.text(left[i] > 0 ? '│   ' : '    ');
          out.text(left[entry.depth] > 0 ? '├── ' : '└── ');
          if (options.inode === true) out.text(`${entry.ino} `);
          names.write(entry.name);
          if (entry.ftype === FTYPE.DIR) directories++;
          else files++;
          if (entry.ftype === FTYPE.LNK) {
            const { ino } = entry;
            const target = damage.guard(() => readSymlink(volume, readInode(volume, ino)));
            out.text(' -> ');
            if (target !== undefined) names.write(target);
            else out.text('?');
          }
          out.text('\n');
          return entry.depth + 1 < (options.level ?? Number.POSITIVE_INFINITY);
        },
        {
          order: byName,
          onDirectory: (listing, _order, _path, _inode, depth) => {
            let n = 0;
            for (let i = 0; i < listing.count; i++) if (shown(listingName(listing, i), listing.ftype[i])) n++;
            left[depth] = n;
          },
        },
      );
    if (start.isDir) damage.guard(draw);
    else damage.line(`${path}: not a directory`);
    const count = (n: number, one: string, many: string): string => `${n} ${n === 1 ? one : many}`;
    const said = [count(directories, 'directory', 'directories')];
    if (options.directories !== true) said.push(count(files, 'file', 'files'));
    out.text(`\n${said.join(', ')}\n`);
    out.flush();
    damage.finish();
  } finally {
    volume.close();
  }
}
