/** Histograms, drawn with d3: bars by powers of two. */
import { axisBottom, axisLeft } from 'd3-axis';
import { scaleBand, scaleLinear } from 'd3-scale';
import { select } from 'd3-selection';
import type { Histogram, ReportData } from '../payload.js';
import { count, counted, empty, h, section, size, table } from './dom.js';

const WIDTH = 520;
const HEIGHT = 230;
const MARGIN = { top: 14, right: 16, bottom: 40, left: 52 };

interface Chart {
  readonly id: string;
  readonly title: string;
  readonly of: Histogram;
  /** What is counted, and what its size is counted in. */
  readonly things: string;
  readonly sizes: string;
  /** What the bars can also show, with a figure of their own. */
  readonly blocks?: string;
  readonly color: string;
  readonly says: string;
  readonly nothing: string;
}

const first = (bar: number): number => 2 ** bar;
const label = (bar: number): string =>
  bar === 0 ? '1' : `${short(first(bar))}–${short(first(bar + 1) - 1)}`;

/** 512, 4K, 1M: as short as an axis needs it; the ends of bars are one below. */
function short(n: number): string {
  for (const [unit, letter] of [
    [2 ** 30, 'G'],
    [2 ** 20, 'M'],
    [2 ** 10, 'K'],
  ] as const)
    if (n >= unit - 1 && n > 1023) return `${Math.round(n / unit)}${letter}`;
  return String(n);
}

const decimal = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

function draw(chart: Chart, measure: 'counts' | 'blocks'): SVGSVGElement {
  const { of } = chart;
  const values = of[measure];
  const lowest = values.findIndex((n) => n > 0);
  const bars = values.map((_, i) => i).slice(lowest);
  const x = scaleBand<number>()
    .domain(bars)
    .range([MARGIN.left, WIDTH - MARGIN.right])
    .padding(0.18);
  const y = scaleLinear()
    .domain([0, Math.max(...values)])
    .nice(4)
    .range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const what = measure === 'counts' ? chart.things : chart.blocks!;
  const says = bars
    .filter((i) => values[i] > 0)
    .map((i) => `${label(i)}: ${count(values[i])}`)
    .join('; ');
  const svg = select(document.createElementNS('http://www.w3.org/2000/svg', 'svg'))
    .attr('viewBox', `0 0 ${WIDTH} ${HEIGHT}`)
    .attr('role', 'img')
    .attr('aria-label', `${chart.title}, ${what} by ${chart.sizes}. ${says}`);
  const ticks = Math.min(4, Math.max(1, Math.max(...values)));
  svg
    .append('g')
    .attr('class', 'grid')
    .attr('transform', `translate(${MARGIN.left},0)`)
    .call(
      axisLeft(y)
        .ticks(ticks)
        .tickSize(-(WIDTH - MARGIN.left - MARGIN.right))
        .tickPadding(8)
        .tickFormat((n) => (Number.isInteger(n.valueOf()) ? decimal.format(n.valueOf()) : '')),
    );
  // Labels that would run into each other: every second, every third.
  const every = Math.ceil(bars.length / 7);
  svg
    .append('g')
    .attr('class', 'axis')
    .attr('transform', `translate(0,${HEIGHT - MARGIN.bottom})`)
    .call(
      axisBottom(x)
        .tickValues(bars.filter((_, n) => n % every === 0))
        .tickSize(0)
        .tickPadding(9)
        .tickFormat(label),
    );
  svg
    .append('text')
    .attr('class', 'unit')
    .attr('x', WIDTH - MARGIN.right)
    .attr('y', HEIGHT - 4)
    .attr('text-anchor', 'end')
    .text(chart.sizes);
  const floor = y(0);
  svg
    .append('g')
    .attr('fill', chart.color)
    .selectAll('rect')
    .data(bars.filter((i) => values[i] > 0))
    .join('rect')
    .attr('x', (i) => x(i)!)
    .attr('width', x.bandwidth())
    .attr('rx', 2)
    // What is there is seen, however little of it there is.
    .attr('y', (i) => Math.min(y(values[i]), floor - 2))
    .attr('height', (i) => floor - Math.min(y(values[i]), floor - 2))
    .append('title')
    .text((i) => `${label(i)}: ${count(values[i])} ${what}`);
  return svg.node()!;
}

function figure(chart: Chart): HTMLElement {
  const { of } = chart;
  const title = h('h3', { id: `${chart.id}-title` }, chart.title);
  if (of.total === 0) return h('figure', { class: 'card', id: chart.id }, title, empty(chart.nothing));
  const place = h('div', {}, draw(chart, 'counts'));
  let toggle: HTMLElement | null = null;
  if (chart.blocks !== undefined) {
    const buttons = (['counts', 'blocks'] as const).map((measure) => {
      const button: HTMLElement = h(
        'button',
        {
          type: 'button',
          'aria-pressed': measure === 'counts' ? 'true' : 'false',
          click: () => {
            place.replaceChildren(draw(chart, measure));
            for (const b of buttons) b.setAttribute('aria-pressed', String(b === button));
          },
        },
        measure === 'counts' ? chart.things : chart.blocks,
      );
      return button;
    });
    toggle = h('div', { class: 'toggle', role: 'group', 'aria-label': 'What the bars show' }, buttons);
  }
  const bars = of.counts.map((_, i) => i).filter((i) => of.counts[i] > 0);
  const figures = h(
    'details',
    {},
    h('summary', {}, 'The figures'),
    table<number>(
      `${chart.title}: figures`,
      [
        { title: chart.sizes, cell: label, key: (i) => i, number: true },
        { title: chart.things, number: true, cell: (i) => count(of.counts[i]), key: (i) => of.counts[i] },
        ...(chart.blocks === undefined
          ? []
          : [
              {
                title: chart.blocks,
                number: true,
                cell: (i: number) => count(of.blocks[i]),
                key: (i: number) => of.blocks[i],
              },
            ]),
      ],
      bars,
    ),
  );
  return h(
    'figure',
    { class: 'card', id: chart.id },
    h('div', { class: 'row' }, title, toggle),
    h('p', { class: 'muted' }, chart.says),
    place,
    figures,
  );
}

export function charts(data: ReportData): HTMLElement {
  const { free, extents, perFile, refcounts } = data.histograms;
  const list: Chart[] = [
    {
      id: 'chart-free',
      title: 'Free extents',
      of: free,
      things: 'extents',
      sizes: 'length in blocks',
      blocks: 'blocks',
      color: 'var(--chart-free)',
      says: `${counted(free.total, 'extent')}, median ${count(free.median)}; the longest is ${size(data, free.max)}.`,
      nothing: 'The filesystem is full: there is no free extent.',
    },
    {
      id: 'chart-extents',
      title: 'File extents',
      of: extents,
      things: 'extents',
      sizes: 'length in blocks',
      blocks: 'blocks',
      color: 'var(--use-data)',
      says: `${counted(extents.total, 'extent')} of file data, median ${count(extents.median)}; the longest is ${size(data, extents.max)}.`,
      nothing: 'No file has data in blocks.',
    },
    {
      id: 'chart-perfile',
      title: 'Extents per file',
      of: perFile,
      things: 'files',
      sizes: 'extents of the file',
      color: 'var(--use-data)',
      says:
        perFile.total === 0
          ? ''
          : `${counted(perFile.total, 'file')} with data, ${(perFile.sum / perFile.total).toFixed(2)} extents each on average; the most fragmented has ${count(perFile.max)}.`,
      nothing: 'No file has data in blocks.',
    },
    {
      id: 'chart-refcounts',
      title: 'Owners of shared runs',
      of: refcounts,
      things: 'records',
      sizes: 'owners',
      blocks: 'blocks',
      color: 'var(--shared-2)',
      says: `${counted(refcounts.total, 'record')} in the reference-count btrees; one run has ${counted(refcounts.max, 'owner')}.`,
      nothing: 'Nothing is shared: the reference-count btrees have no records.',
    },
  ];
  return section(
    'sizes',
    'Fragmentation and sharing in figures',
    'Sizes by powers of two. Short free extents make new files fragment; short file extents say that it happened.',
    h('div', { class: 'figures' }, list.map(figure)),
  );
}
