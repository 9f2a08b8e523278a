/** What repair -n finds: cards with the evidence side by side, and a choice of kinds. */
import type { ReportData, ReportedFinding } from '../payload.js';
import { count, counted, empty, h, placeHash, placeLink, section } from './dom.js';

/** Cards put on the page at once. */
const STEP = 25;

type Evidence = NonNullable<ReportedFinding['evidence']>;
type Claim = NonNullable<Evidence['claims']>[number];

const yes = (text: string): HTMLElement => h('span', { class: 'yes' }, text);
const no = (text: string): HTMLElement => h('span', { class: 'no' }, text);

function claimCard(claim: Claim): HTMLElement {
  const who = claim.ino === undefined ? `the filesystem’s ${claim.kind}` : `inode ${claim.ino}`;
  const facts: (Node | null)[] = [
    claim.ino === undefined ? null : h('span', {}, claim.kind),
    claim.offset === undefined ? null : h('span', {}, `file block ${count(claim.offset)}`),
    claim.unwritten ? h('span', {}, 'unwritten') : null,
    claim.reflink === undefined ? null : h('span', {}, `reflink flag ${claim.reflink ? 'on' : 'off'}`),
    claim.rmap === null ? null : claim.rmap ? yes('in the rmap btree') : no('not in the rmap btree'),
    claim.ino === undefined ? null : claim.verified ? yes('inode verifies') : no('inode does not verify'),
  ];
  return h(
    'li',
    { class: `claim ${claim.verdict}` },
    h('p', {}, h('b', {}, who), ' ', h('span', { class: 'tag' }, claim.verdict)),
    claim.path === undefined ? null : h('p', { class: 'path' }, claim.path),
    h('p', { class: 'facts-line' }, facts),
  );
}

function evidence(of: Evidence): HTMLElement | null {
  const columns: HTMLElement[] = [];
  const column = (title: string, ...children: (Node | string | null)[]): void => {
    columns.push(h('div', {}, h('h4', {}, title), children));
  };
  const more = (n: number | undefined): HTMLElement | null =>
    n === undefined ? null : h('p', { class: 'muted' }, `and ${count(n)} more`);
  const { claims, refcount, rmap, standing } = of;
  if (claims !== undefined)
    column(
      'Who claims it',
      claims.length === 0 ? h('p', { class: 'muted' }, 'nobody') : h('ul', {}, claims.map(claimCard)),
      more(of.moreClaims),
    );
  if (refcount !== undefined)
    column(
      'Reference count',
      h(
        'p',
        {},
        refcount === null
          ? 'no record: at most one owner'
          : `${counted(refcount.count, 'owner')}${refcount.domain === 'cow' ? ', set aside for copy-on-write' : ''}`,
      ),
    );
  if (rmap !== undefined)
    column(
      'Reverse mapping',
      rmap === null
        ? h('p', { class: 'muted' }, 'no btree that verifies')
        : rmap.length === 0
          ? h('p', {}, 'no record')
          : h(
              'ul',
              {},
              rmap.map((r) =>
                h(
                  'li',
                  {},
                  typeof r.owner === 'number'
                    ? `inode ${r.owner}, ${r.kind} at file block ${count(r.offset)}${r.unwritten ? ', unwritten' : ''}`
                    : r.owner,
                  ' ',
                  r.claimed ? yes('claimed there') : no('not claimed there'),
                ),
              ),
            ),
      more(of.moreRmap),
    );
  if (standing !== undefined) column('On the blocks', h('p', {}, standing));
  if (of.field !== undefined) column('Field', h('p', { class: 'mono' }, of.field));
  if (of.value !== undefined) column('Stands there', h('p', { class: 'mono' }, of.value));
  if (of.expected !== undefined) column('Expected', h('p', {}, of.expected));
  return columns.length === 0 ? null : h('div', { class: 'evidence' }, columns);
}

function card(finding: ReportedFinding, index: number): HTMLElement {
  const { code, severity, agno, agbno, blocks, ino, path } = finding;
  return h(
    'article',
    { class: `finding card ${severity}`, id: `finding-${index}`, tabindex: -1, 'aria-label': code },
    h(
      'div',
      { class: 'row' },
      h('h3', { class: 'mono' }, code, severity === 'note' ? h('span', { class: 'tag' }, 'note') : null),
      agno !== undefined
        ? agbno !== undefined
          ? placeLink(agno, agbno, blocks ?? 1)
          : h('a', { href: placeHash(agno, 0, 1), class: 'place' }, `AG ${agno}`)
        : ino !== undefined
          ? h('span', { class: 'muted' }, `inode ${ino}`)
          : null,
    ),
    path === undefined ? null : h('p', { class: 'path' }, path),
    h('p', {}, finding.message),
    h('p', { class: 'action' }, h('b', {}, 'Repair: '), finding.action),
    finding.evidence === undefined ? null : evidence(finding.evidence),
  );
}

export class FindingsView {
  readonly element: HTMLElement;
  readonly #data: ReportData;
  readonly #list = h('div', { class: 'cards' });
  readonly #more = h('button', {
    type: 'button',
    class: 'more',
    click: () => this.#show(this.#shown + STEP),
  });
  readonly #filters = new Map<string, HTMLElement>();
  #code = '';
  #shown = 0;

  constructor(data: ReportData) {
    this.#data = data;
    const { findings } = data;
    const lead =
      findings.list.length === 0
        ? ''
        : 'What xfsimg repair -n finds, judged by all the evidence there is. A place leads to the map.';
    this.element = section('findings', 'Findings', lead, ...this.#body());
    this.#show(STEP);
  }

  #body(): (HTMLElement | null)[] {
    const { damage, notes, summary, list } = this.#data.findings;
    if (list.length === 0)
      return [
        empty(
          'Nothing. Every structure verifies, every block has the owner it should have, and all counters agree.',
        ),
      ];
    const filter = (code: string, text: string, title: string | undefined): HTMLElement => {
      const button = h(
        'button',
        {
          type: 'button',
          title,
          'aria-pressed': code === '' ? 'true' : 'false',
          click: () => this.#choose(code),
        },
        text,
      );
      this.#filters.set(code, button);
      return button;
    };
    const all = filter('', `All ${count(damage + notes)}`, undefined);
    const rest = summary.map((s) => filter(s.code, `${s.code} ${count(s.count)}`, s.about));
    const left = damage + notes - list.length;
    return [
      damage === 0
        ? empty('No damage. What follows is worth knowing, and nothing has to be done about it.')
        : null,
      h('div', { class: 'filters', role: 'group', 'aria-label': 'Kinds of findings' }, all, rest),
      this.#list,
      this.#more,
      left === 0
        ? null
        : h(
            'p',
            { class: 'muted' },
            `${counted(left, 'more finding is', 'more findings are')} not in this page: xfsimg repair -n --json has every one.`,
          ),
    ];
  }

  #choose(code: string): void {
    this.#code = code;
    for (const [other, button] of this.#filters) button.setAttribute('aria-pressed', String(other === code));
    this.#show(STEP);
  }

  #show(most: number): void {
    const { list } = this.#data.findings;
    const chosen = list.map((_, i) => i).filter((i) => this.#code === '' || list[i].code === this.#code);
    this.#shown = Math.min(most, chosen.length);
    this.#list.replaceChildren(...chosen.slice(0, this.#shown).map((i) => card(list[i], i)));
    const left = chosen.length - this.#shown;
    this.#more.hidden = left === 0;
    this.#more.textContent = `Show ${count(Math.min(left, STEP))} more of ${count(left)}`;
  }

  /** Follows a link to a finding. */
  go(hash: string): boolean {
    const match = /^#finding-(\d+)$/.exec(hash);
    const index = Number(match?.[1]);
    if (match === null || index >= this.#data.findings.list.length) return false;
    if (document.getElementById(`finding-${index}`) === null) {
      this.#choose('');
      this.#show(index + 1);
    }
    const element = document.getElementById(`finding-${index}`)!;
    element.scrollIntoView({ block: 'center' });
    element.focus({ preventScroll: true });
    return true;
  }
}
