/** The page of a report: reads the data that stands in it, and draws. */
import './style.css';
import type { ReportData } from '../payload.js';
import { charts } from './charts.js';
import { h } from './dom.js';
import { FindingsView } from './findings.js';
import { MapView } from './mapview.js';
import { space } from './space.js';
import { geometry, summary } from './summary.js';
import { directories, log, sharing } from './tables.js';
import { themeButton } from './theme.js';

const SECTIONS = [
  ['space', 'Space'],
  ['map', 'Map'],
  ['findings', 'Findings'],
  ['sizes', 'Figures'],
  ['sharing', 'Sharing'],
  ['directories', 'Directories'],
  ['log', 'Log'],
  ['geometry', 'Geometry'],
] as const;

function start(): void {
  const data = JSON.parse(document.getElementById('data')!.textContent!) as ReportData;
  const map = new MapView(data);
  const findings = new FindingsView(data);
  const badge = data.findings.damage > 0 ? h('span', { class: 'badge' }, data.findings.damage) : null;
  const links = SECTIONS.map(([id, title]) =>
    h('a', { href: `#${id}` }, title, id === 'findings' ? badge : null),
  );
  document.getElementById('report')!.replaceChildren(
    h('a', { class: 'skip', href: '#summary' }, 'Skip to the report'),
    h(
      'nav',
      { 'aria-label': 'Sections' },
      h(
        'div',
        {},
        links,
        themeButton(() => map.recolor()),
      ),
    ),
    h(
      'main',
      {},
      summary(data),
      space(data),
      map.element,
      findings.element,
      charts(data),
      sharing(data),
      directories(data),
      log(data),
      geometry(data),
      h('footer', {}, `Made by ${data.tool}. Charts drawn with d3 (ISC licence, Mike Bostock).`),
    ),
  );
  map.show({ agno: 0 });
  const follow = (): void => {
    void (map.go(location.hash) || findings.go(location.hash));
  };
  window.addEventListener('hashchange', follow);
  // A link to where one is already leads there again.
  document.addEventListener('click', (event) => {
    const link = (event.target as Element).closest('a');
    if (link !== null && link.hash !== '' && link.hash === location.hash) follow();
  });
  follow();
  // For whoever measures: everything is on the page.
  performance.mark('drawn');
  document.documentElement.dataset.ready = 'true';
}

start();
