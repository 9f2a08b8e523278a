/** The page: one HTML file with the code, the style and the data in it. It asks the network for nothing. */
import type { ReportData } from './payload.js';

export interface PageAssets {
  /** The code for the browser, bundled. */
  readonly script: string;
  readonly style: string;
}

/** Text inside an element. */
const escapeHtml = (s: string): string => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * JSON inside a script element: no tag can begin in it, and names that are no UTF-8 (lone surrogates here) stay
 * what they are.
 */
const embeddedJson = (data: unknown): string => JSON.stringify(data).replace(/</g, '\\u003c');

/** What the page may do: run and style itself. */
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/** An icon, so that the browser asks for none: blocks, one of them shared. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%233f7fcf' d='M1 1h6v6H1zM1 9h6v6H1zM9 9h6v6H9z'/%3E%3Cpath fill='%238a4fc7' d='M9 1h6v6H9z'/%3E%3C/svg%3E";

export function reportPage(data: ReportData, { script, style }: PageAssets): string {
  const title = `${data.label === '' ? data.image : data.label} · XFS report`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="${escapeHtml(data.tool)}">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="${ICON}">
<style>${style}</style>
</head>
<body>
<noscript><p>This report draws itself: it needs JavaScript, and nothing from the network.</p></noscript>
<div id="report"></div>
<script type="application/json" id="data">${embeddedJson(data)}</script>
<script>${script}</script>
</body>
</html>
`;
}
