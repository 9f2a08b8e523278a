/** The most shared runs, the biggest directories, and the log. */
import type { DirectoryUse, IntentRow, ReportData, SharedOwner, SharedRun } from '../payload.js';
import { binarySize } from '../units.js';
import { bar, count, counted, empty, h, placeLink, section, size, table } from './dom.js';

/** Rows shown until all are asked for. */
const SHOWN = 12;

const ownerName = (o: SharedOwner): HTMLElement =>
  o.path === undefined
    ? h('span', { class: 'muted' }, `inode ${o.ino}`)
    : h('span', { class: 'path', title: `inode ${o.ino}` }, o.path);

function owners(run: SharedRun): Node {
  const [first, ...rest] = run.by;
  if (first === undefined) return h('span', { class: 'muted' }, 'none that maps it');
  const left = run.owners - run.by.length;
  if (rest.length === 0 && left <= 0) return ownerName(first);
  return h(
    'details',
    {},
    h('summary', {}, ownerName(first), h('span', { class: 'muted' }, ` and ${count(run.owners - 1)} more`)),
    h(
      'ul',
      {},
      run.by.map((o) =>
        h('li', {}, ownerName(o), h('span', { class: 'muted' }, ` at file block ${count(o.offset)}`)),
      ),
      left > 0 ? h('li', { class: 'muted' }, `${count(left)} more`) : null,
    ),
  );
}

export function sharing(data: ReportData): HTMLElement {
  const { shared, sharedRuns } = data;
  const reflink = data.geometry.some(
    ([p, v]) => p === 'features' && String(v).split(' ').includes('reflink'),
  );
  if (shared.length === 0)
    return section(
      'sharing',
      'Most shared runs',
      '',
      empty(
        reflink
          ? 'No two files share a block.'
          : 'This filesystem was made without reflink: its files cannot share blocks.',
      ),
    );
  const saved = (r: SharedRun): number => r.blocks * (r.owners - 1);
  const most = Math.max(...shared.map(saved));
  const lead =
    sharedRuns > shared.length
      ? `The ${shared.length} runs of ${count(sharedRuns)} with the most owners. Open one to see who they are.`
      : `${sharedRuns === 1 ? 'The one run' : `All ${sharedRuns} runs`} of blocks with several owners. Open one to see who they are.`;
  return section(
    'sharing',
    'Most shared runs',
    lead,
    table<SharedRun>(
      'Most shared runs',
      [
        { title: 'Owners', number: true, cell: (r) => h('b', {}, count(r.owners)), key: (r) => r.owners },
        {
          title: 'Blocks',
          cell: (r) => placeLink(r.agno, r.agbno, r.blocks),
          key: (r) => r.agno * 2 ** 32 + r.agbno,
        },
        { title: 'Size', number: true, cell: (r) => size(data, r.blocks), key: (r) => r.blocks },
        {
          title: 'Saved',
          number: true,
          cell: (r) => [size(data, saved(r)), bar(saved(r), most, 'var(--shared-2)')],
          key: saved,
        },
        { title: 'Who', cell: owners },
      ],
      shared,
      SHOWN,
    ),
  );
}

export function directories(data: ReportData): HTMLElement {
  const list = data.directories;
  if (list.length === 0)
    return section(
      'directories',
      'Biggest directories',
      '',
      empty('The root directory cannot be read: see the findings.'),
    );
  const most = Math.max(...list.map((d) => d.exclusive));
  const lead = `What deleting each would free: blocks all of whose owners are below it.${
    data.moreDirectories > 0
      ? ` ${counted(data.moreDirectories, 'smaller directory', 'smaller directories')} left out.`
      : ''
  }`;
  return section(
    'directories',
    'Biggest directories',
    lead,
    table<DirectoryUse>(
      'Biggest directories',
      [
        { title: 'Directory', cell: (d) => h('span', { class: 'path' }, d.path), key: (d) => d.path },
        {
          title: 'Would free',
          number: true,
          cell: (d) => [binarySize(d.exclusive), bar(d.exclusive, most)],
          key: (d) => d.exclusive,
        },
        { title: 'Shared', number: true, cell: (d) => binarySize(d.shared), key: (d) => d.shared },
        { title: 'In all', number: true, cell: (d) => binarySize(d.total), key: (d) => d.total },
      ],
      list,
      SHOWN,
    ),
  );
}

export function log(data: ReportData): HTMLElement {
  const { state, says, properties, intents, moreIntents } = data.log;
  const tone = state === 'clean' ? 'good' : state === 'dirty' ? 'warn' : 'bad';
  return section(
    'log',
    'Log',
    '',
    h('div', { class: `verdict ${tone}` }, h('strong', {}, `Log ${state}`), h('p', {}, says)),
    properties.length === 0
      ? null
      : h(
          'dl',
          { class: 'facts' },
          properties
            .filter(([property]) => property !== 'state' && property !== 'damage')
            .map(([property, value]) =>
              h(
                'div',
                {},
                h('dt', {}, property),
                h('dd', {}, typeof value === 'number' ? count(value) : value),
              ),
            ),
        ),
    h('h3', {}, 'Pending intents'),
    intents.length === 0
      ? empty('None: no work was announced in the log and left undone.')
      : table<IntentRow>(
          'Pending intents',
          [
            { title: 'Kind', cell: (i) => h('span', { class: 'mono' }, i.type), key: (i) => i.type },
            { title: 'LSN', cell: (i) => h('span', { class: 'mono' }, i.lsn) },
            { title: 'What is to be done', cell: (i) => i.detail },
            {
              title: 'Blocks',
              cell: (i) =>
                i.agno === null || i.agbno === null ? '' : placeLink(i.agno, i.agbno, i.blocks ?? 1),
            },
            { title: 'Inode', number: true, cell: (i) => (i.ino === null ? '' : String(i.ino)) },
          ],
          intents,
          SHOWN,
        ),
    moreIntents === 0 ? null : h('p', { class: 'muted' }, `and ${counted(moreIntents, 'more intent')}`),
  );
}
