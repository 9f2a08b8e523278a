/** Space by kind: one bar for all of it, and a row for each kind. */
import type { ReportData, UseSum } from '../payload.js';
import { percent } from '../units.js';
import { bar, count, h, section, size, table } from './dom.js';
import { cssColor } from './uses.js';

export const swatch = (name: string): HTMLElement =>
  h('span', { class: 'swatch', style: `background:${cssColor(name)}`, 'aria-hidden': 'true' });

export function space(data: ReportData): HTMLElement {
  const there = data.uses.filter((u) => u.blocks > 0);
  const parts = there.map((u) =>
    h('span', {
      style: `flex:${u.blocks} 0 ${u.blocks / data.dblocks > 0.002 ? 2 : 0}px;background:${cssColor(u.name)}`,
      title: `${u.name}: ${count(u.blocks)} blocks, ${percent(u.blocks, data.dblocks)}`,
    }),
  );
  const most = Math.max(...there.map((u) => u.blocks));
  const rows = table<UseSum>(
    'Space by kind',
    [
      { title: 'Kind', cell: (u) => [swatch(u.name), h('b', {}, u.name)], key: (u) => u.name },
      { title: 'What it is', cell: (u) => h('span', { class: 'muted' }, u.about) },
      { title: 'Blocks', number: true, cell: (u) => count(u.blocks), key: (u) => u.blocks },
      { title: 'Size', number: true, cell: (u) => size(data, u.blocks) },
      { title: 'Part', number: true, cell: (u) => percent(u.blocks, data.dblocks) },
      { title: '', cell: (u) => bar(u.blocks, most, cssColor(u.name)) },
    ],
    there,
  );
  const label = there.map((u) => `${u.name} ${percent(u.blocks, data.dblocks)}`).join(', ');
  return section(
    'space',
    'Space by kind',
    data.findings.damage === 0
      ? 'Every block once, by what it is in use for. The sums are the counters of the superblock and the AG headers.'
      : 'Every block once, by what it is in use for, as far as the damage lets it be told.',
    h('div', { class: 'stack', role: 'img', 'aria-label': label }, parts),
    rows,
  );
}
