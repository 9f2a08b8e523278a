/** Every command: its line in the overview, and how to load it. Nothing here loads any of them. */
import type { Command } from 'commander';
import type { EditCommand } from './edit-support.js';

export interface CommandEntry {
  readonly summary: string;
  /** `edit`: it can be a line of a script. */
  readonly load: () => Promise<{ register(program: Command): void; readonly edit?: EditCommand }>;
}

export const COMMANDS: ReadonlyMap<string, CommandEntry> = new Map<string, CommandEntry>([
  ['info', { summary: 'geometry, features and use of a filesystem', load: () => import('./info.js') }],
  ['mkfs', { summary: 'make a filesystem', load: () => import('./mkfs.js') }],
  ['dump', { summary: 'structures and tables of an image', load: () => import('./dump.js') }],
  [
    'log',
    { summary: 'the journal: its state, records, transactions and items', load: () => import('./log.js') },
  ],
  [
    'repair',
    {
      summary: 'check and repair: who owns each block, by all the evidence there is',
      load: () => import('./repair.js'),
    },
  ],
  ['undo', { summary: 'put back what a repair overwrote', load: () => import('./undo.js') }],
  ['ls', { summary: 'list directories', load: () => import('./ls.js') }],
  ['tree', { summary: 'draw the directory tree', load: () => import('./tree.js') }],
  ['du', { summary: 'what files take, share, and would free', load: () => import('./du.js') }],
  ['map', { summary: 'draw what the blocks are in use for', load: () => import('./map.js') }],
  ['report', { summary: 'a page about an image for a browser', load: () => import('./report.js') }],
  ['stat', { summary: 'show the inodes of files', load: () => import('./stat.js') }],
  ['cat', { summary: 'write files to standard output', load: () => import('./cat.js') }],
  ['find', { summary: 'find files by name, type, size', load: () => import('./find.js') }],
  [
    'extract',
    { summary: 'write files into a directory, or as a tar archive', load: () => import('./extract.js') },
  ],
  ['copy', { summary: 'make a compact copy in another size', load: () => import('./copy.js') }],
  ['metadump', { summary: 'write all metadata, obfuscated, to a file', load: () => import('./metadump.js') }],
  ['mdrestore', { summary: 'make an image from a metadump', load: () => import('./mdrestore.js') }],
  [
    'completion',
    { summary: 'completion scripts for bash, zsh and fish', load: () => import('./completion.js') },
  ],
  ['label', { summary: 'show or set the label', load: () => import('./label.js') }],
  ['uuid', { summary: 'show the UUID, or give another', load: () => import('./uuid.js') }],
  ['edit', { summary: 'run a script of edits in one go', load: () => import('./edit.js') }],
  ['write', { summary: 'write data into a file', load: () => import('./write.js') }],
  ['truncate', { summary: 'give a file another size', load: () => import('./truncate.js') }],
  ['punch', { summary: 'make a range of a file a hole', load: () => import('./punch.js') }],
  ['clone', { summary: 'clone files and trees: shared until written to', load: () => import('./clone.js') }],
  ['dedupe', { summary: 'share equal blocks of files', load: () => import('./dedupe.js') }],
  ['mkdir', { summary: 'make directories', load: () => import('./mkdir.js') }],
  ['put', { summary: 'put files in', load: () => import('./put.js') }],
  ['rm', { summary: 'remove files', load: () => import('./rm.js') }],
  ['rmdir', { summary: 'remove empty directories', load: () => import('./rmdir.js') }],
  ['mv', { summary: 'move or rename files', load: () => import('./mv.js') }],
  ['ln', { summary: 'make hard or symbolic links', load: () => import('./ln.js') }],
  ['mknod', { summary: 'make devices, FIFOs and sockets', load: () => import('./mknod.js') }],
  ['chmod', { summary: 'change permissions', load: () => import('./chmod.js') }],
  ['chown', { summary: 'change owners', load: () => import('./chown.js') }],
  ['touch', { summary: 'set times, make empty files', load: () => import('./touch.js') }],
  ['setfattr', { summary: 'set or remove extended attributes', load: () => import('./setfattr.js') }],
  ['getfattr', { summary: 'show extended attributes', load: () => import('./getfattr.js') }],
  ['schema', { summary: 'the JSON Schema of a table', load: () => import('./schema.js') }],
]);
