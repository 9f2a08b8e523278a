/** What an image holds already, by the magic numbers of filesystems, containers and partition tables. */
import type { Source } from '../image/source.js';

interface Signature {
  readonly name: string;
  readonly at: readonly number[];
  readonly magic: string | readonly number[];
}

const SIGNATURES: readonly Signature[] = [
  { name: 'an XFS filesystem', at: [0], magic: 'XFSB' },
  { name: 'an ext2, ext3 or ext4 filesystem', at: [1080], magic: [0x53, 0xef] },
  { name: 'a btrfs filesystem', at: [65600], magic: '_BHRfS_M' },
  { name: 'a GPT partition table', at: [512, 4096], magic: 'EFI PART' },
  {
    name: 'swap space',
    at: [4086, 8182, 16374, 32758, 65526],
    magic: 'SWAPSPACE2',
  },
  { name: 'swap space', at: [4086, 8182, 16374, 32758, 65526], magic: 'SWAP-SPACE' },
  { name: 'a squashfs filesystem', at: [0], magic: 'hsqs' },
  { name: 'an ISO 9660 filesystem', at: [32769], magic: 'CD001' },
  { name: 'a UDF filesystem', at: [32769], magic: 'BEA01' },
  { name: 'an NTFS filesystem', at: [3], magic: 'NTFS    ' },
  { name: 'an exFAT filesystem', at: [3], magic: 'EXFAT   ' },
  { name: 'a FAT filesystem', at: [82], magic: 'FAT32   ' },
  { name: 'a FAT filesystem', at: [54], magic: 'FAT1' },
  { name: 'an f2fs filesystem', at: [1024], magic: [0x10, 0x20, 0xf5, 0xf2] },
  { name: 'an EROFS filesystem', at: [1024], magic: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: 'a reiserfs filesystem', at: [65588], magic: 'ReIsEr' },
  { name: 'a JFS filesystem', at: [32768], magic: 'JFS1' },
  { name: 'a bcachefs filesystem', at: [4120], magic: [0xc6, 0x85, 0x73, 0xf6] },
  { name: 'an encrypted LUKS volume', at: [0], magic: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] },
  { name: 'an LVM physical volume', at: [0, 512, 1024, 1536], magic: 'LABELONE' },
  { name: 'a Linux software RAID member', at: [0, 4096], magic: [0xfc, 0x4e, 0x2b, 0xa9] },
  { name: 'an Apple partition map', at: [512], magic: [0x50, 0x4d, 0, 0] },
  { name: 'a qcow2 disk image', at: [0], magic: [0x51, 0x46, 0x49, 0xfb] },
  { name: 'a VMDK disk image', at: [0], magic: 'KDMV' },
  { name: 'a VHDX disk image', at: [0], magic: 'vhdxfile' },
];

/** Bytes from the start that hold all of the signatures. */
const SNIFFED = 68 * 1024;
const MBR_SIGNATURE = 510;
const MBR_TABLE = 446;

/** What is there ("an XFS filesystem"), or undefined. */
export function existingContents(source: Source): string | undefined {
  const head = new Uint8Array(Math.min(SNIFFED, source.size));
  source.read(0, head);
  for (const { name, at, magic } of SIGNATURES) {
    const bytes = typeof magic === 'string' ? Buffer.from(magic, 'latin1') : magic;
    for (const offset of at) {
      if (offset + bytes.length > head.length) continue;
      if (bytes.every((b, i) => head[offset + i] === b)) return name;
    }
  }
  return isMbr(head) ? 'an MBR partition table' : undefined;
}

/** The boot signature, and entries that are partitions: active or not, of a type, with a length. */
function isMbr(head: Uint8Array): boolean {
  if (head.length < 512 || head[MBR_SIGNATURE] !== 0x55 || head[MBR_SIGNATURE + 1] !== 0xaa) return false;
  let partitions = 0;
  for (let at = MBR_TABLE; at < MBR_SIGNATURE; at += 16) {
    if ((head[at] & 0x7f) !== 0) return false;
    const length = head[at + 12] | head[at + 13] | head[at + 14] | head[at + 15];
    if (head[at + 4] !== 0 && length !== 0) partitions++;
  }
  return partitions > 0;
}
