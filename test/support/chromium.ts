/**
 * Debian's Chromium, driven by playwright-core: pages are opened from files, and whatever they ask the network
 * for is noted, and refused.
 */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { tmpdir } from './oracle.js';

const PROGRAM = '/usr/bin/chromium';

/** The options of a test that needs a browser: as `oracle` of oracle.ts. */
export function browser(): { skip: string | false } {
  if (existsSync(PROGRAM)) return { skip: false };
  if (process.env.CI === 'true') throw new Error(`no test may be skipped in CI, but ${PROGRAM} is missing`);
  return { skip: `${PROGRAM} is not installed` };
}

/** A browser with a profile of its own, in light or dark colours. */
export function launch(colorScheme: 'light' | 'dark' = 'light'): Promise<BrowserContext> {
  return chromium.launchPersistentContext(tmpdir('xfsimg-chromium-'), {
    executablePath: PROGRAM,
    headless: true,
    colorScheme,
    viewport: { width: 1280, height: 900 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export interface Opened {
  readonly page: Page;
  /** What the page wrote to the console as a warning or an error, and what it threw. */
  readonly complaints: string[];
  /** Addresses asked for besides the file itself. */
  readonly requests: string[];
}

/** Opens a file, and waits until its page has drawn itself. */
export async function open(context: BrowserContext, file: string): Promise<Opened> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  const address = pathToFileURL(file).href;
  page.on('request', (request) => {
    const url = request.url();
    if (url !== address && !url.startsWith('data:')) requests.push(url);
  });
  await page.goto(address);
  await page.waitForSelector('html[data-ready]');
  return { page, complaints, requests };
}
