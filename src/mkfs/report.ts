/** The geometry of a filesystem as mkfs.xfs and xfs_info print it. */
import type { Geometry } from '../format/geometry.js';

/** Ten lines, each ended by a newline. `name` stands behind "meta-data=". */
export function geometryReport(g: Geometry, name: string): string {
  const f = g.features;
  const bit = (b: boolean): number => (b ? 1 : 0);
  const p = (x: number | string, width: number): string => String(x).padEnd(width);
  const blank = `         =${p('', 22)} `;
  return [
    `meta-data=${p(name, 22)} isize=${p(g.inodesize, 6)} agcount=${g.agcount}, agsize=${g.agblocks} blks`,
    `${blank}sectsz=${p(g.sectsize, 5)} attr=2, projid32bit=1`,
    `${blank}crc=${p(1, 8)} finobt=${bit(f.finobt)}, sparse=${bit(f.sparseInodes)}, rmapbt=${bit(f.rmapbt)}`,
    `${blank}reflink=${p(bit(f.reflink), 4)} bigtime=${bit(f.bigtime)} inobtcount=${bit(f.inobtcount)} nrext64=${bit(f.nrext64)}`,
    `data     =${p('', 22)} bsize=${p(g.blocksize, 6)} blocks=${g.dblocks}, imaxpct=${g.imaxPct}`,
    `${blank}sunit=${p(g.unit, 6)} swidth=${g.width} blks`,
    `naming   =version ${p(2, 14)} bsize=${p(g.dirblksize, 6)} ascii-ci=0, ftype=${bit(f.ftype)}`,
    `log      =${p('internal log', 22)} bsize=${p(g.blocksize, 6)} blocks=${g.logblocks}, version=2`,
    `${blank}sectsz=${p(g.logsectsize, 5)} sunit=${Math.floor(g.logsunit / g.blocksize)} blks, lazy-count=1`,
    `realtime =${p('none', 22)} extsz=${p(Math.max(4096, g.blocksize), 6)} blocks=0, rtextents=0`,
    '',
  ].join('\n');
}
