/** The kinds of blocks there are: pressing one leaves its blocks alone in colour. */
import type { ReportData } from '../payload.js';
import { h } from './dom.js';
import { swatch } from './space.js';
import { cssColor, DEPTHS } from './uses.js';

export function legend(data: ReportData, only: (use: number) => void): HTMLElement {
  const buttons = new Map<number, HTMLElement>();
  let pressed = -1;
  const press = (use: number): void => {
    pressed = pressed === use ? -1 : use;
    for (const [other, button] of buttons) button.setAttribute('aria-pressed', String(other === pressed));
    only(pressed);
  };
  data.uses.forEach(({ name, about, blocks }, use) => {
    if (blocks === 0) return;
    const key =
      name === 'shared'
        ? DEPTHS.map((_, i) => h('span', { class: 'swatch', style: `background:${cssColor('shared', i)}` }))
        : swatch(name);
    buttons.set(
      use,
      h(
        'button',
        { type: 'button', title: about, 'aria-pressed': 'false', click: () => press(use) },
        key,
        name,
      ),
    );
  });
  return h(
    'div',
    { class: 'legend', role: 'group', 'aria-label': 'Kinds of blocks: press one to see it alone' },
    [
      ...buttons.values(),
      data.uses.some((u) => u.name === 'shared' && u.blocks > 0)
        ? h('span', { class: 'muted' }, `shared: ${DEPTHS.join(', ')} owners`)
        : null,
    ],
  );
}
