/** All AGs one below another, a strip each: where in the filesystem things are, and a way to a group. */
import type { ReportData } from '../payload.js';
import { h } from './dom.js';
import { drawStrip, fit } from './mapdraw.js';
import type { MapModel } from './mapmodel.js';
import type { Palette } from './uses.js';

/** Height of a strip and the gap below it, by how many there are. */
function heights(ags: number): { strip: number; gap: number } {
  if (ags <= 8) return { strip: 18, gap: 5 };
  if (ags <= 32) return { strip: 9, gap: 3 };
  // Thousands of them still have to fit in a canvas.
  return ags <= 1000 ? { strip: 4, gap: 1 } : { strip: 2, gap: 0 };
}

export function strips(
  data: ReportData,
  model: MapModel,
  palette: Palette,
  choose: (agno: number) => void,
): { element: HTMLElement; draw: (chosen: number, only: number) => void } {
  const ags = data.ags.length;
  const { strip, gap } = heights(ags);
  const agAt = (event: MouseEvent): number => Math.min(ags - 1, Math.floor(event.offsetY / (strip + gap)));
  const canvas = h('canvas', {
    'aria-hidden': 'true',
    click: (event: MouseEvent) => choose(agAt(event)),
    pointermove: (event: PointerEvent) => {
      canvas.title = `AG ${agAt(event)}`;
    },
  });
  // Labels where they have room; the list of groups is in the toolbar for all.
  const labels =
    ags > 32
      ? null
      : h(
          'div',
          { class: 'labels', 'aria-hidden': 'true', style: `gap:${gap}px` },
          data.ags.map((_, agno) =>
            h('span', { style: `height:${strip}px` }, ags <= 8 ? `AG ${agno}` : agno),
          ),
        );
  const element = h('div', { class: 'strips', tabindex: ags > 32 ? 0 : undefined }, labels, canvas);
  let drawn = '';
  const draw = (chosen: number, only: number): void => {
    const state = `${only} ${canvas.clientWidth} ${palette.ink}`;
    [...(labels?.children ?? [])].forEach((label, agno) => {
      label.classList.toggle('chosen', agno === chosen);
    });
    if (state === drawn) return;
    drawn = state;
    const context = fit(canvas, ags * (strip + gap) - gap);
    const widest = Math.max(...data.ags.map((ag) => ag.length));
    data.ags.forEach(({ length }, agno) => {
      context.save();
      context.beginPath();
      context.rect(0, agno * (strip + gap), (canvas.clientWidth * length) / widest, strip);
      context.clip();
      drawStrip(
        context,
        palette,
        model,
        { agno, from: 0, to: widest === length ? length : widest },
        only,
        undefined,
        agno * (strip + gap),
        strip,
      );
      context.restore();
    });
  };
  return { element, draw };
}
