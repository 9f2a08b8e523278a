/** The page in a browser: that it draws, that it can be used by mouse and by keyboard, and asks for nothing. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { BrowserContext, Page } from 'playwright-core';
import { populated } from '../../support/cache.js';
import { browser, launch, type Opened, open } from '../../support/chromium.js';
import { xfsimg } from '../../support/cli.js';
import { fixture } from '../../support/fixture.js';
import { oracle, tmpdir } from '../../support/oracle.js';

function report(image: string, status: number): string {
  const file = join(tmpdir(), 'report.html');
  const ran = xfsimg(['report', image, '-o', file], { encoding: 'utf8' });
  assert.equal(ran.status, status, ran.stderr);
  assert.equal(ran.stdout, '');
  return file;
}

const text = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).innerText()).replaceAll(/\s+/g, ' ');

/** The blocks the map shows: first, behind the last, and the one under the cursor. */
async function view(page: Page): Promise<{ ag: number; from: number; to: number; cursor: number }> {
  const data = await page.locator('.grid-map').evaluate((canvas) => ({ ...(canvas as HTMLElement).dataset }));
  return { ag: Number(data.ag), from: Number(data.from), to: Number(data.to), cursor: Number(data.cursor) };
}

/** How many colours a canvas has: one that was not drawn on has none. */
const colors = (page: Page, selector: string): Promise<number> =>
  page.locator(selector).evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

const SECTIONS = ['space', 'map', 'findings', 'sizes', 'sharing', 'directories', 'log', 'geometry'];

describe('the page in Chromium', browser(), () => {
  let context: BrowserContext;
  before(async () => {
    context = await launch();
  });
  after(() => context.close());

  describe('of a damaged image', () => {
    let opened: Opened;
    let page: Page;
    before(async () => {
      opened = await open(context, report(fixture('duplicate-unflagged'), 1));
      page = opened.page;
    });

    test('draws every section, without a complaint', async () => {
      for (const id of SECTIONS) {
        assert.equal(await page.locator(`nav a[href="#${id}"]`).count(), 1);
        assert.ok((await text(page, `#${id}`)).length > 60, id);
      }
      for (const canvas of ['.strips canvas', '.strip-map', '.grid-map'])
        assert.ok((await colors(page, canvas)) > 3, canvas);
      assert.equal(await page.locator('#sizes svg').count(), 4);
      assert.match(await text(page, '#verdict'), /1 finding of damage 1 duplicate\.corrupt/);
      assert.deepEqual(opened.complaints, []);
      assert.deepEqual(opened.requests, []);
    });

    test('shows the evidence side by side', async () => {
      const card = await text(page, '#finding-0');
      assert.match(card, /duplicate\.corrupt/);
      for (const heading of ['Who claims it', 'Reference count', 'Reverse mapping'])
        assert.ok(card.includes(heading));
      assert.match(
        card,
        /inode 132 kept \/home\/diary\.txt data file block 0 reflink flag off in the rmap btree/,
      );
      assert.match(card, /inode 133 corrupt \/home\/letters\.txt .* not in the rmap btree/);
      assert.match(card, /inode 132, data at file block 0 claimed there$/);
      const tops = await page
        .locator('#finding-0 .evidence > div')
        .evaluateAll((columns) => columns.map((c) => c.getBoundingClientRect().top));
      assert.equal(tops.length, 3);
      assert.equal(new Set(tops).size, 1, 'in one row');
    });

    test('a finding leads to its blocks in the map, and they lead back', async () => {
      const place = page.locator('#finding-0 a.place');
      const [, ag, from, blocks] = /#map=(\d+):(\d+)\+(\d+)/
        .exec((await place.getAttribute('href'))!)!
        .map(Number);
      await place.click();
      const seen = await view(page);
      assert.equal(seen.ag, ag);
      assert.ok(seen.from <= from && seen.to >= from + blocks);
      assert.ok(seen.to - seen.from < 2000, 'closely');
      assert.equal(seen.cursor, from);
      assert.match(await text(page, '#map-info'), /contested/);
      await page.locator('#map-info a').first().click();
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'finding-0');
      // And by keyboard.
      await place.focus();
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => document.activeElement?.classList.contains('grid-map'));
      assert.equal((await view(page)).cursor, from);
    });

    test('can be filtered', async () => {
      await page.locator('.filters button', { hasText: 'duplicate.corrupt' }).click();
      assert.equal(await page.locator('.finding').count(), 1);
    });
  });

  describe('of an image with everything in it', oracle('mkfs.xfs', 'mount'), () => {
    let opened: Opened;
    let page: Page;
    let image: string;
    before(async () => {
      ({ image } = populated({ mkfs: { args: ['-m', 'rmapbt=1'] } }));
      opened = await open(context, report(image, 0));
      page = opened.page;
    });

    test('the figures are those of map and dump', async () => {
      const rows = await page
        .locator('#space tbody tr')
        .evaluateAll((trs) =>
          trs.map((tr) => [...tr.querySelectorAll('td')].map((td) => td.textContent ?? '')),
        );
      const blocks = new Map<string, number>();
      for (const line of xfsimg(['map', image, '--columns', 'use,blocks', '--no-header', '--format', 'tsv'])
        .stdout.trim()
        .split('\n')) {
        const [use, n] = line.split('\t');
        blocks.set(use, (blocks.get(use) ?? 0) + Number(n));
      }
      assert.deepEqual(
        new Map(rows.map(([use, , n]) => [use, Number(n.replaceAll(',', ''))])),
        new Map(
          [...blocks].toSorted(
            (a, b) => rows.findIndex((r) => r[0] === a[0]) - rows.findIndex((r) => r[0] === b[0]),
          ),
        ),
      );
      const free = xfsimg(['dump', image, 'free', '--columns', 'blocks', '--no-header', '--format', 'tsv']);
      const extents = free.stdout.trim().split('\n').length;
      assert.match(
        await text(page, '#chart-free'),
        new RegExp(`^Free extents.* ${extents.toLocaleString('en-US')} extents`),
      );
      assert.match(
        await text(page, '#sharing tbody tr:first-child'),
        /^201 AG \d+, block [\d,]+ 4 KiB 800 KiB .*and 200 more/,
      );
    });

    test('the map zooms by mouse', async () => {
      const grid = page.locator('.grid-map');
      await page.locator('#map-whole').click();
      const whole = await view(page);
      await page.locator('#map-in').click();
      const closer = await view(page);
      assert.equal(closer.to - closer.from, (whole.to - whole.from) / 2);
      await page.locator('#map-right').click();
      assert.ok((await view(page)).from > closer.from);
      await page.locator('#map-out').click();
      await page.locator('#map-whole').click();
      assert.deepEqual({ ...(await view(page)), cursor: 0 }, { ...whole, cursor: 0 });
      await grid.scrollIntoViewIfNeeded();
      const box = (await grid.boundingBox())!;
      // A drag over part of the first row.
      await page.mouse.move(box.x + 100, box.y + 8);
      await page.mouse.down();
      await page.mouse.move(box.x + 300, box.y + 8, { steps: 4 });
      await page.mouse.up();
      const dragged = await view(page);
      assert.ok(dragged.to - dragged.from < (whole.to - whole.from) / 10, 'what was dragged over');
      await page.mouse.dblclick(box.x + 100, box.y + 8);
      const inside = await view(page);
      assert.ok(inside.to - inside.from < dragged.to - dragged.from);
      await grid.focus();
      await page.mouse.move(box.x + 200, box.y + 8);
      await page.mouse.wheel(0, 200);
      const out = await view(page);
      assert.ok(out.to - out.from > inside.to - inside.from);
      // A strip of the overview is a group.
      const overview = (await page.locator('.strips canvas').boundingBox())!;
      await page.mouse.click(overview.x + 30, overview.y + overview.height - 4);
      assert.equal((await view(page)).ag, 3);
    });

    test('the map zooms by keyboard', async () => {
      await page.locator('#map-ag').selectOption('0');
      await page.locator('.grid-map').focus();
      const whole = await view(page);
      const keys = async (...names: string[]): Promise<Awaited<ReturnType<typeof view>>> => {
        for (const name of names) await page.keyboard.press(name);
        return view(page);
      };
      await keys('Home');
      const right = await keys('ArrowRight', 'ArrowRight');
      assert.ok(right.cursor > 0);
      assert.ok((await keys('ArrowDown')).cursor > right.cursor);
      const closer = await keys('+');
      assert.equal(closer.to - closer.from, (whole.to - whole.from) / 2);
      const inside = await keys('Enter');
      assert.ok(inside.to - inside.from < closer.to - closer.from);
      assert.match(await text(page, '#map-info'), /^AG 0, block/);
      const deepest = await keys('+', '+', '+', '+', '+', '+', '+', '+');
      assert.equal(deepest.to - deepest.from, 32);
      const box = (await page.locator('.grid-map').boundingBox())!;
      assert.ok(box.height < 24, 'one row of cells, as high as they are wide');
      assert.ok((await keys('PageDown')).from > deepest.from);
      assert.equal((await keys(']')).ag, 1);
      assert.equal((await keys('[', 'Home')).ag, 0);
      // Every control is reached by Tab, none holds the focus.
      await page.locator('#map-ag').focus();
      const reached = new Set<string>();
      for (let i = 0; i < 10; i++) {
        await page.keyboard.press('Tab');
        reached.add(
          await page.evaluate(() => document.activeElement?.id || document.activeElement?.className || ''),
        );
      }
      for (const id of ['map-out', 'map-in', 'map-whole', 'grid-map']) assert.ok(reached.has(id), id);
    });

    test('tables are ordered by their headings; owners unfold', async () => {
      const first = (): Promise<string> => text(page, '#directories tbody tr:first-child td:first-child');
      assert.equal(await first(), '/');
      const heading = page.locator('#directories button.order', { hasText: 'Directory' });
      await heading.focus();
      await page.keyboard.press('Enter');
      await page.keyboard.press('Enter');
      assert.notEqual(await first(), '/');
      const details = page.locator('#sharing details').first();
      await details.locator('summary').click();
      assert.equal(await details.locator('li').count(), 25, '24 owners, and how many more');
    });

    test('legend and theme change what is drawn', async () => {
      await page.locator('#map-whole').click();
      const pixels = (): Promise<string> =>
        page.locator('.grid-map').evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
      const all = await pixels();
      await page.locator('.legend button', { hasText: 'inodes' }).click();
      const alone = await pixels();
      assert.notEqual(alone, all);
      await page.locator('.legend button', { hasText: 'inodes' }).click();
      const paper = (): Promise<string> =>
        page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const light = await paper();
      await page.locator('#theme').click();
      await page.locator('#theme').click();
      assert.notEqual(await paper(), light);
      assert.notEqual(await pixels(), all);
    });

    test('nothing was asked of the network, nothing complained of', () => {
      assert.deepEqual(opened.requests, []);
      assert.deepEqual(opened.complaints, []);
    });
  });

  test('fits a narrow screen', async () => {
    const { page } = await open(context, report(fixture('duplicate-unflagged'), 1));
    await page.setViewportSize({ width: 380, height: 800 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 380, `${wide}`);
  });
});
