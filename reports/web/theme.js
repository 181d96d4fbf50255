// Runs in the head, before anything is drawn: the reader's theme, and a count of what goes wrong.
// Both are attributes of <html>: data-theme ("light", "dark" or none: the system's) and data-errors.
'use strict';
(() => {
  const root = document.documentElement;
  root.dataset.errors = '0';
  root.dataset.charts = '0';
  const count = (event) => {
    root.dataset.errors = String(Number(root.dataset.errors) + 1);
    root.dataset.lastError = String(event.message || event.reason || event.violatedDirective);
  };
  addEventListener('error', count, true);
  addEventListener('unhandledrejection', count);
  addEventListener('securitypolicyviolation', count);

  // A browser may refuse storage to files; then the choice lasts as long as the page.
  const key = 'moesim-theme';
  const stored = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const store = (theme) => { try { localStorage.setItem(key, theme); } catch { /* see above */ } };
  const chosen = stored();
  if (chosen === 'light' || chosen === 'dark') root.dataset.theme = chosen;

  const system = matchMedia('(prefers-color-scheme: dark)');
  const is_dark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const tell = () => {
    const button = document.getElementById('theme');
    if (button) button.setAttribute('aria-pressed', String(is_dark()));
    dispatchEvent(new Event('moesim-theme'));
  };
  system.addEventListener('change', tell);
  addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    button.hidden = false;
    button.addEventListener('click', () => {
      root.dataset.theme = is_dark() ? 'light' : 'dark';
      store(root.dataset.theme);
      tell();
    });
    tell();
    // What is folded away on a screen has to be on paper.
    addEventListener('beforeprint', () => {
      for (const details of document.querySelectorAll('details[data-print]')) details.open = true;
    });
  });
})();
