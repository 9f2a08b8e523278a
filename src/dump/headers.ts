/** The superblock and the AG headers, field by field. */
import { AGF, AGFL, AGI, AGI_UNLINKED_BUCKETS, agflSize } from '../format/ag.js';
import type { Report } from '../format/fault.js';
import { INCOMPAT, LOG_INCOMPAT, RO_COMPAT } from '../format/features.js';
import type { Lsn } from '../format/log.js';
import type { Structure, Value } from '../format/structure.js';
import { FEATURES2, NULLAGBLOCK, SUPERBLOCK, VERSION_BITS, verifySuperblock } from '../format/superblock.js';
import { checkFreeSpace, checkInodeTrees } from '../volume/check.js';
import { checkSuperblockCounters } from '../volume/counters.js';
import { bytesOf, type Volume } from '../volume/volume.js';
import { type AgOptions, eachAg } from './ags.js';
import { AGNO, checkLsn, FIELD_COLUMNS, FieldRows, noteCrc, noteHex, noteLsn, noteMagic } from './fields.js';
import { type RowSink, table } from './table.js';

const COLUMNS = { agno: AGNO, ...FIELD_COLUMNS } as const;
export const SB = table('sb', 'a field of a superblock', COLUMNS);
export const AGF_FIELDS = table('agf', 'a field of an AGF: the free space of an AG', COLUMNS);
export const AGI_FIELDS = table('agi', 'a field of an AGI: the inodes of an AG', COLUMNS);
export const AGFL_FIELDS = table('agfl', 'a field of an AGFL: the free list of an AG', COLUMNS);

export interface HeaderOptions extends AgOptions {
  /** Compare counters with what they count: walks the AG's btrees. Default true. */
  readonly check?: boolean;
  /** Head of the log: no header can have a later LSN. */
  readonly head?: Lsn;
  /** The log has nothing to replay, so that the superblock's counters hold. Default true. */
  readonly clean?: boolean;
}

/** Names of the bits set in a mask; those without a name in hex. */
function bitNames(value: Value, names: Record<string, number>): string | null {
  let rest = Number(value);
  if (rest === 0) return null;
  const out: string[] = [];
  for (const [name, bit] of Object.entries(names)) {
    if ((rest & bit) === 0) continue;
    out.push(name.toLowerCase());
    rest &= ~bit;
  }
  if (rest !== 0) out.push(`0x${(rest >>> 0).toString(16)}`);
  return out.join(',');
}

const NOTHING: ReadonlySet<string> = new Set();
const METADIR_ONLY = ['metadirino', 'rgcount', 'rgextents', 'rgblklog', 'rtstart', 'rtreserved'];
const AGF_PADDING = new Set(['spare2']);
const AGI_PADDING = new Set(['pad32']);
const SB_NULLABLE = new Set([
  'uquotino',
  'gquotino',
  'pquotino',
  'rbmino',
  'rsumino',
  'rootino',
  'metadirino',
]);

function headerNotes(of: Structure, view: DataView) {
  return (name: string, value: Value): string | null => {
    const at = (of.at as Record<string, number>)[name];
    switch (name) {
      case 'magicnum':
        return noteMagic(value);
      case 'crc':
        return noteCrc(view, 0, view.byteLength, at);
      case 'lsn':
        return noteLsn(view, at);
      case 'versionnum':
        return of === (SUPERBLOCK as Structure)
          ? `${noteHex(value)}: ${bitNames(Number(value) & ~15, VERSION_BITS)}`
          : null;
      case 'features2':
      case 'bad_features2':
        return bitNames(value, FEATURES2);
      case 'features_ro_compat':
        return bitNames(value, RO_COMPAT);
      case 'features_incompat':
        return bitNames(value, INCOMPAT);
      case 'features_log_incompat':
        return bitNames(value, LOG_INCOMPAT);
    }
    return null;
  };
}

/** Superblocks: the primary one, or with `agno` that AG's copy. */
export function dumpSb(volume: Volume, sink: RowSink, options: HeaderOptions = {}): void {
  const report = options.report ?? volume.report;
  const agno = options.agno ?? 0;
  const view = volume.header(agno, 'sb');
  sink.num[SB.at.agno] = agno;
  const skip = volume.g.features.metadir ? NOTHING : new Set(METADIR_ONLY);
  const notes = headerNotes(SUPERBLOCK, view);
  new FieldRows(sink, SB.at.field).structure(SUPERBLOCK, view, 0, { skip, nullable: SB_NULLABLE, notes });
  verifySuperblock(bytesOf(view), { agno, agbno: 0 }, report);
  checkLsn(view, SUPERBLOCK.at.lsn, options.head, { structure: 'sb', agno, agbno: 0, field: 'lsn' }, report);
  const counters = options.clean !== false;
  if (options.check !== false) checkSuperblockCounters(volume, agno, view, report, { counters });
}

export function dumpAgf(volume: Volume, sink: RowSink, options: HeaderOptions = {}): void {
  const rows = new FieldRows(sink, AGF_FIELDS.at.field);
  eachAg(volume, options, (agno, report) => {
    const view = volume.agf(agno, options.check === false ? report : silent);
    sink.num[AGF_FIELDS.at.agno] = agno;
    rows.structure(AGF, view, 0, { skip: AGF_PADDING, notes: headerNotes(AGF, view) });
    checkLsn(view, AGF.at.lsn, options.head, { structure: 'agf', agno, agbno: 0, field: 'lsn' }, report);
    if (options.check !== false) checkFreeSpace(volume, agno, report);
  });
}

/** The checks that follow read the header once more and report what is wrong with it. */
const silent: Report = () => {};

export function dumpAgi(volume: Volume, sink: RowSink, options: HeaderOptions = {}): void {
  const rows = new FieldRows(sink, AGI_FIELDS.at.field);
  const nullable = new Set(['newino', 'dirino']);
  eachAg(volume, options, (agno, report) => {
    const view = volume.agi(agno, options.check === false ? report : silent);
    sink.num[AGI_FIELDS.at.agno] = agno;
    rows.structure(AGI, view, 0, { skip: AGI_PADDING, nullable, notes: headerNotes(AGI, view) });
    for (let i = 0; i < AGI_UNLINKED_BUCKETS; i++) {
      const agino = view.getUint32(AGI.at.unlinked + i * 4);
      if (agino !== NULLAGBLOCK) rows.put(`unlinked[${i}]`, agino);
    }
    checkLsn(view, AGI.at.lsn, options.head, { structure: 'agi', agno, agbno: 0, field: 'lsn' }, report);
    if (options.check !== false) checkInodeTrees(volume, agno, report);
  });
}

export function dumpAgfl(volume: Volume, sink: RowSink, options: HeaderOptions = {}): void {
  const rows = new FieldRows(sink, AGFL_FIELDS.at.field);
  eachAg(volume, options, (agno, report) => {
    const agf = volume.agf(agno, silent);
    const view = volume.agfl(agno, agf, options.check === false ? report : silent);
    sink.num[AGFL_FIELDS.at.agno] = agno;
    rows.structure(AGFL, view, 0, { notes: headerNotes(AGFL, view) });
    const slots = agflSize(volume.g.sectsize);
    const first = agf.getUint32(AGF.at.flfirst);
    const count = agf.getUint32(AGF.at.flcount);
    for (let i = 0; i < slots; i++) {
      const agbno = view.getUint32(AGFL.size + i * 4);
      const active = (i - first + slots) % slots < count;
      rows.put(`bno[${i}]`, agbno === NULLAGBLOCK ? null : agbno, active ? 'active' : null);
    }
    checkLsn(view, AGFL.at.lsn, options.head, { structure: 'agfl', agno, agbno: 0, field: 'lsn' }, report);
    if (options.check !== false) checkFreeSpace(volume, agno, report);
  });
}
