/** Tar archives changed at random: fields of headers with the checksum made right, pax records, cuts. */
import { encodeTarHeader, paxRecord, TAR_BLOCK, TAR_HEADER, tarChecksum } from '../../src/format/tar.js';
import type { Damaged } from './dumps.js';

const AT = TAR_HEADER.at;
const NUMBERS = ['mode', 'uid', 'gid', 'size', 'mtime', 'devmajor', 'devminor'] as const;
const TEXTS = ['name', 'linkname', 'magic', 'uname', 'gname', 'prefix'] as const;
const TYPES = '01234567xgLKSDVMZ\0';

const PAX: readonly [string, readonly string[]][] = [
  ['path', ['../x', '/', '', 'a/../b', 'd/inside', 'n'.repeat(256), `${'p/'.repeat(3000)}q`, 'a\0b']],
  ['linkpath', ['../../x', '', 'file', 'x'.repeat(2000), 'a\0b']],
  ['size', ['0', '-1', '99999999999999999999', '1e9', '513', '18446744073709551615']],
  ['uid', ['-1', '4294967296', '4294967295', 'root']],
  ['gid', ['99999999999', '0x10']],
  ['mtime', ['-9223372036854775808', '99999999999999', '1.9999999999', 'nan', '-0.5', '16299260425']],
  ['atime', ['9007199254740993', '-1.000000001']],
  ['GNU.sparse.map', ['0,1', '5,3,1,2', '1', '0,99999999999999', ',', '9007199254740990,1']],
  ['GNU.sparse.size', ['0', '-5', '9007199254740991', '1152921504606846976']],
  ['GNU.sparse.major', ['1', '2']],
  ['GNU.sparse.realsize', ['10', '9007199254740992']],
  ['GNU.sparse.name', ['../up', 'other']],
  ['SCHILY.xattr.user.x', ['', 'v'.repeat(70_000), 'v'.repeat(300)]],
  ['SCHILY.xattr.', ['x']],
  [`SCHILY.xattr.user.${'n'.repeat(300)}`, ['x']],
  ['LIBARCHIVE.xattr.user.%zz', ['!!!!', 'AAAA']],
  [
    'SCHILY.acl.access',
    ['user::rwx', 'garbage', 'user::rw-,user:nobody-here:r--,group::r--,mask::r--,other::---'],
  ],
  ['SCHILY.acl.default', ['user::rwx,group::r-x,other::r-x', '']],
  ['SCHILY.xattr.system.posix_acl_access', ['x', '\x02\0\0\0']],
];

/** Where the headers of an archive stand. */
export function headersOf(archive: Buffer): number[] {
  const out: number[] = [];
  for (let at = 0; archive[at] !== 0; ) {
    out.push(at);
    const size = Number.parseInt(archive.toString('latin1', at + AT.size, at + AT.size + 11), 8);
    at += TAR_BLOCK * (1 + Math.ceil(size / TAR_BLOCK));
  }
  return out;
}

function seal(header: Buffer): void {
  header.write(`${tarChecksum(header).toString(8).padStart(6, '0')}\0 `, AT.chksum, 'latin1');
}

/** An archive with one thing or two of it changed. The same for the same dice. */
export function damagedArchive(good: Buffer, headers: readonly number[], dice: () => number): Damaged {
  const below = (n: number): number => Math.floor(dice() * n);
  const one = <T>(list: readonly T[]): T => list[below(list.length)];
  const at = one(headers);
  const bytes = Buffer.from(good);
  const header = bytes.subarray(at, at + TAR_BLOCK);
  switch (below(9)) {
    case 0:
    case 1: {
      const field = one(NUMBERS);
      const width = field === 'size' || field === 'mtime' ? 12 : 8;
      const octal = '7'.repeat(below(width));
      const place = header.subarray(AT[field], AT[field] + width);
      place.fill(0);
      const how = below(5);
      if (how === 0) place.write(octal, 'latin1');
      else if (how === 1) place.write(one([' -1', '9', 'zzz', '0x1', ' 7 7', '1 ']), 'latin1');
      // Base 256: huge, negative, small.
      else if (how === 2) place.fill(0xff);
      else if (how === 3) for (let i = 0; i < width; i++) place[i] = i === 0 ? 0x80 | below(128) : below(256);
      else place.set([0x80, ...Array(width - 3).fill(0), below(256), below(256)]);
      seal(header);
      return { what: `${field} of the header at byte ${at}`, bytes };
    }
    case 2: {
      const field = one(TEXTS);
      const width = { name: 100, linkname: 100, magic: 8, uname: 32, gname: 32, prefix: 155 }[field];
      const text = one([
        '',
        '..',
        '../x',
        '/',
        '//',
        '.',
        './',
        'x/../..',
        'd',
        'd/',
        '\xff\xfe',
        'x'.repeat(width),
      ]);
      header.fill(0, AT[field], AT[field] + width);
      header.write(text, AT[field], 'latin1');
      seal(header);
      return { what: `${field} of the header at byte ${at}: ${JSON.stringify(text.slice(0, 20))}`, bytes };
    }
    case 3: {
      header[AT.typeflag] = TYPES.charCodeAt(below(TYPES.length));
      seal(header);
      return { what: `type of the header at byte ${at}: ${header[AT.typeflag]}`, bytes };
    }
    case 4:
    case 5: {
      const records = Array.from({ length: 1 + below(3) }, () => {
        const [key, texts] = one(PAX);
        return [key, one(texts)] as const;
      });
      const data = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
      const extra = encodeTarHeader({
        ...{ name: 'pax', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: data.length },
        typeflag: one(['x', 'x', 'g']),
      });
      const room = Buffer.alloc(Math.ceil(data.length / TAR_BLOCK) * TAR_BLOCK);
      data.copy(room);
      if (dice() < 0.15) room[below(data.length)] = below(256);
      return {
        what: `before byte ${at}: ${records.map(([key, value]) => `${key}=${value.slice(0, 40)}`).join(' ')}`,
        bytes: Buffer.concat([bytes.subarray(0, at), extra, room, bytes.subarray(at)]),
      };
    }
    case 6: {
      const to = below(good.length);
      return { what: `cut at byte ${to}`, bytes: bytes.subarray(0, to) };
    }
    case 7: {
      const where = at + below(TAR_BLOCK);
      bytes[where] = below(256);
      const sealed = dice() < 0.8;
      if (sealed) seal(header);
      return {
        what: `byte ${where - at} of the header at byte ${at}${sealed ? '' : ', checksum wrong'}`,
        bytes,
      };
    }
    default: {
      // A member again at another place: links before their files, directories over files.
      const from = one(headers);
      const next = headers[headers.indexOf(from) + 1] ?? from + TAR_BLOCK;
      return {
        what: `the member at byte ${from} again at ${at}`,
        bytes: Buffer.concat([bytes.subarray(0, at), good.subarray(from, next), bytes.subarray(at)]),
      };
    }
  }
}
