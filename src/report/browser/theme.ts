/** Light, dark, or as the system has it. */
import { h } from './dom.js';

const THEMES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

/** Kept for the next report where the browser lets a file keep something. */
const KEY = 'xfsimg-theme';

function kept(): Theme {
  try {
    const theme = localStorage.getItem(KEY);
    return THEMES.find((t) => t === theme) ?? 'auto';
  } catch {
    return 'auto';
  }
}

export function themeButton(changed: () => void): HTMLElement {
  let theme = kept();
  const button = h('button', {
    type: 'button',
    id: 'theme',
    click: () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // Not kept, then.
      }
      apply();
      changed();
    },
  });
  const apply = (): void => {
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  apply();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  return button;
}
