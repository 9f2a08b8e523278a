/** A tree as a pax archive: attributes, ACLs, sparse files (GNU 1.0), hard links, times to the nanosecond. */
import { aclFromXattr, aclToText, POSIX_ACL_ACCESS, POSIX_ACL_DEFAULT } from '../../format/acl.js';
import { S_IF, type Timespec } from '../../format/dinode.js';
import {
  encodeTarHeader,
  paxRecord,
  TAR_BLOCK,
  TAR_TYPE,
  type TarFields,
  tarOctalFits,
} from '../../format/tar.js';
import { FileReader } from '../../volume/file.js';
import type { Inode } from '../../volume/inode.js';
import { readSymlink } from '../../volume/symlink.js';
import type { Volume } from '../../volume/volume.js';
import { type ExtractedFile, type Start, walkFiles } from './walk.js';

const PIECE = 2 ** 20;
const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1');

/**
 * Writes the archive of `start` and all below it in pieces to `write`, which must take each before it returns.
 * `skipped` is told of what an archive has no member for: sockets.
 */
export function extractTar(
  volume: Volume,
  start: Start,
  write: (bytes: Uint8Array) => void,
  skipped: (path: Uint8Array, why: string) => void,
  progress?: () => void,
): void {
  const writer = new TarWriter(volume, write, skipped);
  walkFiles(volume, start, (file) => {
    progress?.();
    writer.add(file);
    return true;
  });
  writer.end();
}

class TarWriter {
  readonly #volume: Volume;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #skipped: (path: Uint8Array, why: string) => void;
  readonly #piece = new Uint8Array(PIECE);
  #bytes = 0;

  constructor(
    volume: Volume,
    write: (bytes: Uint8Array) => void,
    skipped: (path: Uint8Array, why: string) => void,
  ) {
    this.#volume = volume;
    this.#write = write;
    this.#skipped = skipped;
  }

  add(file: ExtractedFile): void {
    const { inode } = file;
    const isDir = inode.isDir;
    const path = `.${file.path.length > 0 ? '/' : ''}${latin1(file.path)}${isDir ? '/' : ''}`;
    if (inode.type === S_IF.SOCK) {
      this.#skipped(file.path, 'is a socket, tar has no member for it');
      return;
    }
    const records = attributeRecords(file);
    const base = {
      mode: inode.mode & 0o7777,
      uid: inode.uid,
      gid: inode.gid,
      mtime: inode.mtime.sec,
      size: 0,
    };
    const member = (more: Partial<TarFields> & { typeflag: string }): void =>
      this.#member({ name: path, ...base, ...more }, inode, records);
    if (file.linkTo !== undefined) {
      member({ typeflag: TAR_TYPE.LINK, linkname: `./${latin1(file.linkTo)}` });
      return;
    }
    switch (inode.type) {
      case S_IF.DIR:
        return member({ typeflag: TAR_TYPE.DIR });
      case S_IF.LNK:
        return member({ typeflag: TAR_TYPE.SYMLINK, linkname: latin1(readSymlink(this.#volume, inode)) });
      case S_IF.FIFO:
        return member({ typeflag: TAR_TYPE.FIFO });
      case S_IF.CHR:
      case S_IF.BLK: {
        const { major, minor } = inode.rdev;
        const typeflag = inode.type === S_IF.CHR ? TAR_TYPE.CHR : TAR_TYPE.BLK;
        return member({ typeflag, devmajor: major, devminor: minor });
      }
    }
    this.#regular({ name: path, ...base, typeflag: TAR_TYPE.FILE }, inode, records);
  }

  #regular(fields: TarFields, inode: Inode, records: Uint8Array[]): void {
    const reader = new FileReader(this.#volume, inode);
    const runs: { offset: number; length: number }[] = [];
    let zeros = 0;
    for (const s of reader.segments()) {
      if (s.zeros) zeros += s.length;
      else runs.push({ offset: s.offset, length: s.length });
    }
    if (zeros === 0) {
      this.#member({ ...fields, size: reader.size }, inode, records);
      for (const run of runs) this.#copy(reader, run.offset, run.length);
      this.#pad();
      return;
    }
    // GNU sparse 1.0: the map goes in front of the data, the true name and size into the pax header.
    if (runs.length === 0 || runs[runs.length - 1].offset + runs[runs.length - 1].length < reader.size)
      runs.push({ offset: reader.size, length: 0 });
    const text = [`${runs.length}`, ...runs.flatMap((r) => [`${r.offset}`, `${r.length}`])].join('\n');
    const map = Buffer.alloc(Math.ceil((text.length + 1) / TAR_BLOCK) * TAR_BLOCK);
    map.write(`${text}\n`, 'latin1');
    const size = runs.reduce((n, r) => n + r.length, map.length);
    const sparse = [
      paxRecord('GNU.sparse.major', '1'),
      paxRecord('GNU.sparse.minor', '0'),
      paxRecord('GNU.sparse.name', fields.name),
      paxRecord('GNU.sparse.realsize', `${reader.size}`),
    ];
    this.#member({ ...fields, name: './GNUSparseFile.0', size }, inode, [...sparse, ...records]);
    this.#out(map);
    for (const run of runs) this.#copy(reader, run.offset, run.length);
    this.#pad();
  }

  #member(fields: TarFields, inode: Inode, records: readonly Uint8Array[]): void {
    const all = [...records];
    const link = fields.linkname ?? '';
    if (fields.name.length > 100) all.push(paxRecord('path', fields.name));
    if (link.length > 100) all.push(paxRecord('linkpath', link));
    if (!tarOctalFits(fields.size, 12)) all.push(paxRecord('size', `${fields.size}`));
    if (!tarOctalFits(fields.uid, 8)) all.push(paxRecord('uid', `${fields.uid}`));
    if (!tarOctalFits(fields.gid, 8)) all.push(paxRecord('gid', `${fields.gid}`));
    const { mtime, atime } = inode;
    if (mtime.nsec !== 0 || !tarOctalFits(mtime.sec, 12)) all.push(paxRecord('mtime', timeText(mtime)));
    if (atime.sec !== mtime.sec || atime.nsec !== mtime.nsec) all.push(paxRecord('atime', timeText(atime)));
    if (all.length > 0) {
      const data = Buffer.concat(all);
      const header = {
        name: './PaxHeaders/x',
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        typeflag: TAR_TYPE.PAX,
      };
      this.#out(encodeTarHeader({ ...header, size: data.length }));
      this.#out(data);
      this.#pad();
    }
    this.#out(encodeTarHeader(fields));
  }

  #copy(reader: FileReader, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const piece = this.#piece.subarray(0, Math.min(PIECE, length - done));
      reader.read(offset + done, piece);
      this.#out(piece);
      done += piece.length;
    }
  }

  #out(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    this.#write(bytes);
  }

  #pad(): void {
    const rest = this.#bytes % TAR_BLOCK;
    if (rest > 0) this.#out(new Uint8Array(TAR_BLOCK - rest));
  }

  /** Two blocks of zeros, and up to a whole record of twenty blocks as tar writes them. */
  end(): void {
    const record = 20 * TAR_BLOCK;
    const end = Math.ceil((this.#bytes + 2 * TAR_BLOCK) / record) * record;
    this.#out(new Uint8Array(end - this.#bytes));
  }
}

/** "1700000000.5"; negative times as a decimal number below zero. */
function timeText({ sec, nsec }: Timespec): string {
  if (nsec === 0) return `${sec}`;
  const negative = sec < 0;
  const whole = negative ? -sec - 1 : sec;
  const part = negative ? 1_000_000_000 - nsec : nsec;
  return `${negative ? '-' : ''}${whole}.${`${part}`.padStart(9, '0').replace(/0+$/, '')}`;
}

function attributeRecords(file: ExtractedFile): Uint8Array[] {
  return file.xattrs.map(([name, value]) => {
    const text = latin1(name);
    const kind =
      text === `system.${POSIX_ACL_ACCESS}`
        ? 'access'
        : text === `system.${POSIX_ACL_DEFAULT}`
          ? 'default'
          : undefined;
    const entries = kind === undefined ? undefined : aclFromXattr(value);
    if (entries !== undefined) return paxRecord(`SCHILY.acl.${kind}`, aclToText(entries));
    // A key ends at the first "=": GNU tar reads it, and its own mark, in hex.
    return paxRecord(`SCHILY.xattr.${text.replace(/[%=]/g, (c) => (c === '%' ? '%25' : '%3D'))}`, value);
  });
}
