/** Elements, numbers and places as the page writes them. Text from an image only ever becomes text nodes. */
import type { ReportData } from '../payload.js';
import { binarySize } from '../units.js';

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, string | number | boolean | ((event: never) => void) | undefined>;

/** An element: properties that are functions listen, `true` is an attribute without value. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, value as EventListener);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

const whole = new Intl.NumberFormat('en-US');

/** 1,234,567 */
export const count = (n: number): string => whole.format(n);
/** '1 block', '1,234 blocks' */
export const counted = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;
export const size = (data: ReportData, blocks: number): string => binarySize(blocks * data.blocksize);

/** A section of the page with its heading and a sentence about it. */
export function section(
  id: string,
  title: string,
  about: string,
  ...children: (Child | Child[])[]
): HTMLElement {
  const heading = h('h2', { id: `${id}-title` }, title);
  const lead = about === '' ? null : h('p', { class: 'lead' }, about);
  return h('section', { id, 'aria-labelledby': `${id}-title` }, heading, lead, ...children);
}

/** What stands where there is nothing to show. */
export const empty = (...says: (Child | Child[])[]): HTMLElement => h('p', { class: 'empty' }, ...says);

/** 'AG 2, block 17', 'AG 2, blocks 17 to 21' */
export const placeText = (agno: number, agbno: number, blocks: number): string =>
  blocks === 1
    ? `AG ${agno}, block ${count(agbno)}`
    : `AG ${agno}, blocks ${count(agbno)} to ${count(agbno + blocks - 1)}`;

/** The address of a place in the map, and back. */
export const placeHash = (agno: number, agbno: number, blocks: number): string =>
  `#map=${agno}:${agbno}+${blocks}`;
export function parsePlace(hash: string): { agno: number; agbno: number; blocks: number } | undefined {
  const match = /^#map=(\d+):(\d+)\+(\d+)$/.exec(hash);
  if (match === null) return undefined;
  return { agno: Number(match[1]), agbno: Number(match[2]), blocks: Math.max(1, Number(match[3])) };
}

/** A link that shows blocks in the map. */
export const placeLink = (agno: number, agbno: number, blocks: number): HTMLAnchorElement =>
  h('a', { href: placeHash(agno, agbno, blocks), class: 'place' }, placeText(agno, agbno, blocks));

export interface TableColumn<T> {
  readonly title: string;
  /** Aligned to the right. */
  readonly number?: boolean;
  readonly cell: (row: T) => Child | Child[];
  /** What to order by; without it the column cannot be ordered by. */
  readonly key?: (row: T) => number | string;
}

/** A table whose columns can be ordered by their headings; of many rows the first are shown until asked. */
export function table<T>(
  caption: string,
  columns: readonly TableColumn<T>[],
  rows: readonly T[],
  first = Number.POSITIVE_INFINITY,
): HTMLElement {
  const body = h('tbody');
  let most = rows.length > first + 3 ? first : rows.length;
  let current = rows;
  const fill = (list: readonly T[]): void => {
    current = list;
    body.replaceChildren(
      ...list.slice(0, most).map((row) =>
        h(
          'tr',
          {},
          columns.map((c) => h('td', { class: c.number ? 'number' : undefined }, c.cell(row))),
        ),
      ),
    );
  };
  let ordered = -1;
  let down = true;
  const heads = columns.map((column, i) => {
    const { key, title } = column;
    if (key === undefined || rows.length < 2)
      return h('th', { scope: 'col', class: column.number ? 'number' : undefined }, title);
    const order = (): void => {
      down = ordered === i ? !down : column.number === true;
      ordered = i;
      const sign = down ? -1 : 1;
      const compare = (a: T, b: T): number => {
        const x = key(a);
        const y = key(b);
        return x < y ? -sign : x > y ? sign : 0;
      };
      fill([...rows].sort(compare));
      heads.forEach((head, n) => {
        if (n === i) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        else head.removeAttribute('aria-sort');
      });
    };
    return h(
      'th',
      { scope: 'col', class: column.number ? 'number' : undefined },
      h('button', { type: 'button', class: 'order', click: order }, title),
    );
  });
  fill(rows);
  const scroll = h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    h('table', {}, h('caption', { class: 'unseen' }, caption), h('thead', {}, h('tr', {}, heads)), body),
  );
  if (most === rows.length) return scroll;
  const all = (): void => {
    most = rows.length;
    more.remove();
    fill(current);
  };
  const more = h('button', { type: 'button', class: 'more', click: all }, `Show all ${count(rows.length)}`);
  return h('div', {}, scroll, more);
}

/** A bar that shows a part of a whole behind a figure. */
export const bar = (part: number, whole: number, color = 'var(--accent)'): HTMLElement =>
  h(
    'span',
    { class: 'bar', 'aria-hidden': 'true' },
    h('span', {
      style: `width:${whole === 0 ? 0 : Math.max(part > 0 ? 1 : 0, (part / whole) * 100)}%;background:${color}`,
    }),
  );
