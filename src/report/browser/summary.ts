/** The head of the page, and the geometry. */
import type { ReportData } from '../payload.js';
import { binarySize, percent } from '../units.js';
import { count, counted, h, section, size } from './dom.js';

const blocksOf = (data: ReportData, name: string): number =>
  data.uses.find((u) => u.name === name)?.blocks ?? 0;

function verdict(data: ReportData): HTMLElement {
  const { damage, summary } = data.findings;
  const log =
    data.log.state === 'clean' ? null : h('p', {}, data.log.says, ' ', h('a', { href: '#log' }, 'The log'));
  if (damage === 0)
    return h(
      'div',
      { class: data.log.state === 'clean' ? 'verdict good' : 'verdict warn', id: 'verdict' },
      h('strong', {}, 'No damage found'),
      h('p', {}, 'Every block has one owner, or owners who may share it, and all counters agree.'),
      log,
    );
  const kinds = summary.filter((s) => s.severity === 'damage');
  return h(
    'div',
    { class: 'verdict bad', id: 'verdict' },
    h('strong', {}, counted(damage, 'finding'), ' of damage'),
    h(
      'p',
      {},
      kinds
        .slice(0, 4)
        .map((k) => `${count(k.count)} ${k.code}`)
        .join(', '),
      kinds.length > 4 ? ` and ${counted(kinds.length - 4, 'more kind')}` : '',
      '. ',
      h('a', { href: '#findings' }, 'What was found, and the evidence'),
    ),
    log,
  );
}

export function summary(data: ReportData): HTMLElement {
  const { free } = data;
  const shared = blocksOf(data, 'shared');
  const saved = data.sharedTimesOwners - shared;
  const tile = (title: string, value: string, about: string): HTMLElement =>
    h('div', { class: 'tile' }, h('dt', {}, title), h('dd', {}, h('b', {}, value), h('span', {}, about)));
  const used = data.dblocks - free;
  const inodesUsed = data.inodes - data.freeInodes;
  const dl = h('dl', { class: 'tiles' }, [
    tile('Size', size(data, data.dblocks), `${count(data.dblocks)} × ${binarySize(data.blocksize)}`),
    tile('In use', percent(used, data.dblocks), size(data, used)),
    tile('Free', percent(free, data.dblocks), size(data, free)),
    tile(
      'Saved by sharing',
      size(data, saved),
      shared === 0 ? 'nothing is shared' : `${size(data, shared)} shared`,
    ),
    tile('Inodes', count(inodesUsed), `${count(data.freeInodes)} free in ${count(data.inodes)}`),
    tile('Groups', count(data.ags.length), `${size(data, data.agblocks)} each`),
  ]);
  return h('header', { id: 'summary' }, [
    h('p', { class: 'kicker' }, 'XFS filesystem'),
    h('h1', {}, data.label === '' ? data.image : data.label),
    h('p', { class: 'sub' }, [
      h('span', {}, data.image),
      h('span', { class: 'mono' }, data.uuid),
      h('time', { datetime: data.made }, `${data.made.slice(0, 16).replace('T', ' ')} UTC`),
    ]),
    verdict(data),
    dl,
  ]);
}

const BYTES = new Set([
  'size',
  'block size',
  'sector size',
  'inode size',
  'directory block size',
  'log sector size',
  'stripe unit',
  'stripe width',
  'log stripe unit',
]);

function shown(property: string, value: string | number): string {
  if (value === '') return '—';
  if (typeof value === 'string') return value;
  if (BYTES.has(property)) return value === 0 ? 'none' : binarySize(value);
  return count(value);
}

export function geometry(data: ReportData): HTMLElement {
  return section(
    'geometry',
    'Geometry',
    'What mkfs decided, and what the headers count.',
    h(
      'dl',
      { class: 'facts' },
      data.geometry.map(([property, value]) =>
        h(
          'div',
          {},
          h('dt', {}, property),
          h('dd', { class: property.endsWith('uuid') ? 'mono' : undefined }, shown(property, value)),
        ),
      ),
    ),
  );
}
