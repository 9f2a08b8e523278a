import { withMount } from './mount.js';
import { blank, run } from './oracle.js';
import { fillAttributes } from './populate/attrs.js';
import { fillFiles, fillFlags } from './populate/files.js';
import { fillFragmented } from './populate/fragmented.js';
import { fillDirectories } from './populate/names.js';
import { fillSharing } from './populate/sharing.js';
import { openSite, type Scale } from './populate/site.js';
import { fillDeleted, fillSpecial } from './populate/special.js';

export interface MkfsOptions {
  /** Bytes; default 512 MiB (sparse). mkfs.xfs takes no less than 300 MiB unless `tiny`. */
  size?: number;
  /** Further mkfs.xfs arguments, e.g. ['-b', 'size=1024', '-m', 'rmapbt=1']. */
  args?: readonly string[];
  /** Let mkfs.xfs make filesystems under 300 MiB, as its own test suite does. */
  tiny?: boolean;
}

/** Make a fresh image file with mkfs.xfs. Returns its path. */
export function mkfs(path: string, { size = 512 << 20, args = [], tiny = false }: MkfsOptions = {}): string {
  blank(path, size);
  const env = tiny ? { TEST_DIR: '/', TEST_DEV: path, QA_CHECK_FS: '1' } : {};
  run('mkfs.xfs', ['-q', '-f', ...args, path], { env });
  return path;
}

export interface PopulateOptions {
  /** Choices that are random are the same for the same seed. */
  seed?: number;
  /** 'small': every shape, about two seconds. 'full': trees several levels deep. 'tiny': for images of 64 MiB. */
  scale?: Scale;
  /** Mount options, e.g. 'pquota'. */
  options?: string;
}

/**
 * Where the shapes are: 'file:extents300', 'dir:3000', 'attr:node', 'shared:clone0', 'special:fifo',
 * 'symlink:1023', 'flag:immutable' ... -> path below the root of the filesystem.
 */
export type Notes = Map<string, string>;

/**
 * Fill an image through Linux with every shape of file, directory, attribute, symlink and shared extent.
 * The image must be freshly made, 300 MiB or more ('tiny': 64 MiB). Features decide for themselves: without reflink there
 * are no shared files.
 */
export function populate(image: string, { seed = 1, scale = 'small', options }: PopulateOptions = {}): Notes {
  return withMount(
    image,
    (root) => {
      const site = openSite(root, seed, scale);
      fillFragmented(site);
      fillFiles(site);
      fillDirectories(site);
      fillAttributes(site);
      fillSpecial(site);
      fillSharing(site);
      fillDeleted(site);
      fillFlags(site);
      return site.notes;
    },
    { options },
  );
}
