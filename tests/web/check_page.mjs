// node check_page.mjs sample|training|pretraining|serving SAMPLE_REPORT MOESIM SCENARIOS
// Opens a report in a browser and checks what a reader depends on. With MOESIM_SHOTS=folder it leaves
// pictures there, for eyes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Browser, find_browser } from './browser.mjs';
import { contrast_failures, headings, outside_of_page, unnamed } from './in_page.mjs';

const [kind, sample, moesim, scenarios] = process.argv.slice(2);
const browser_path = find_browser();
if (!browser_path) {
  console.log('SKIPPED: no Chromium is installed');
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), 'moesim-report-'));
const run = (...words) => execFileSync(moesim, ['run', '--quiet', '-o', folder, ...words], { stdio: 'ignore' });
if (kind === 'sample') execFileSync(sample, [folder]);
if (kind === 'training') run(join(scenarios, 'deepseek-v3-chunk.jsonc'));
if (kind === 'pretraining') run(join(scenarios, 'deepseek-v3-pretrain.jsonc'));
if (kind === 'serving') run(join(scenarios, 'azure-conversation-h200.jsonc'));

let failed = 0;
function check(holds, what) {
  console.log(`${holds ? 'ok    ' : 'FAILED'} ${what}`);
  if (!holds) failed += 1;
}

const page = join(folder, 'report.html');
const text = readFileSync(page, 'latin1');
const num_figures = text.split('<figure').length - 1;
const has_bundle = !text.includes('built without npm');
if (kind === 'sample' && !has_bundle) {
  console.log('SKIPPED: built without npm, so there are no charts');
  process.exit(0);
}
check(text.length < 1.5e6, `the page has ${(text.length / 1e6).toFixed(2)} MB, less than 1.5`);

const shots = process.env.MOESIM_SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
const browser = new Browser(browser_path);
async function shoot(name) {
  if (!shots) return;
  for (const [i, picture] of (await browser.pictures()).entries())
    writeFileSync(join(shots, `${kind}-${name}-${i + 1}.png`), picture);
}
try {
  await browser.open_tab();
  const drawn = `document.documentElement.dataset.charts === '${has_bundle ? num_figures : 0}'`;
  const errors = 'document.documentElement.dataset.errors';

  // The best of five, for the machine may be busy with something else.
  let fastest_ms = Infinity;
  await browser.window(1280, 900);
  for (let i = 0; i < 5 && !(fastest_ms < 2000); ++i) {
    const start = performance.now();
    await browser.load(pathToFileURL(page).href);
    check(await browser.until(drawn), `all ${num_figures} charts are drawn (opened ${i + 1} times)`);
    fastest_ms = Math.min(fastest_ms, performance.now() - start);
  }
  check(fastest_ms < 2000, `opened and drawn in ${Math.round(fastest_ms)} ms, less than 2000`);
  check(await browser.value(`${errors} === '0'`),
        `no error in the page (${await browser.value(`${errors} + ' ' + (document.documentElement.dataset.lastError ?? '')`)})`);
  check(await browser.value(`document.title !== 'broken' && !document.querySelector('img')`), 'hostile names stay text');
  check(await browser.value(`[...document.querySelectorAll('figure')].every((figure) =>
    figure.querySelector('details table tbody tr'))`), 'every chart has its numbers in a table');
  // On one canvas: what takes more is drawn bit by bit, and would be missing on paper.
  const pictures = `[...document.querySelectorAll('.plot')].every((plot) => {
    const [canvas, second] = plot.querySelectorAll('canvas');
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4 * 37) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size > 4 && !second;
  })`;
  check(await browser.value(pictures), 'every chart has a picture');
  for (const problem of await browser.value(`(${headings})()`)) check(false, problem);
  for (const problem of await browser.value(`(${unnamed})()`)) check(false, problem);
  check(true, 'headings in order, landmarks and controls named');

  for (const theme of ['light', 'dark']) {
    await browser.media({ 'prefers-color-scheme': theme });
    const failures = await browser.value(`(${contrast_failures})()`);
    check(failures.length === 0, `${theme}: text has a contrast of 4.5 or more ${failures.slice(0, 5).join('; ')}`);
    await shoot(theme);
  }
  const luminance = `(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g); return +r + +g + +b; })()`;
  check(await browser.value(`${luminance} < 200`), 'dark by the system\'s wish');
  await browser.value(`document.getElementById('theme').click()`);
  check(await browser.value(`${luminance} > 600`), 'light by the button');
  await browser.media({ 'prefers-color-scheme': 'light' });

  for (const width of [360, 320]) {
    await browser.window(width, 740);
    await browser.until('false', 300);
    const wide = await browser.value(`(${outside_of_page})()`);
    check(wide.length === 0, `${width} pixels: nothing makes the page scroll sideways ${wide.slice(0, 5).join('; ')}`);
    if (width === 360) await shoot('narrow');
  }
  await browser.window(1280, 900);

  // Zooming by keyboard changes the picture.
  const plot = `document.querySelector('.plot[tabindex]')`;
  if (await browser.value(`${plot} !== null`)) {
    const picture = `${plot}.querySelector('canvas').toDataURL()`;
    await browser.until('false', 200);
    const before = await browser.value(picture);
    await browser.value(`(${plot}.focus(), ${plot}.dispatchEvent(new KeyboardEvent('keydown', { key: '+' })))`);
    await browser.until('false', 400);
    check(await browser.value(picture) !== before, 'the timeline zooms by keyboard');
    if (shots) {
      await browser.value(`${plot}.scrollIntoView({ block: 'center', behavior: 'instant' })`);
      writeFileSync(join(shots, `${kind}-zoomed.png`), await browser.screenshot());
    }
  }
  check(await browser.value(`(dispatchEvent(new Event('beforeprint')), ${pictures})`), 'ready for paper at once');
  await browser.value(`dispatchEvent(new Event('afterprint'))`);
  const pdf = await browser.pdf();
  check(pdf.subarray(0, 5).toString() === '%PDF-', 'prints');
  if (shots) writeFileSync(join(shots, `${kind}.pdf`), pdf);
  check(await browser.value(`${errors} === '0'`),
        `still no error (${await browser.value(`document.documentElement.dataset.lastError ?? ''`)})`);
  check(browser.complaints.length === 0, `an empty console ${browser.complaints.slice(0, 3).join('; ')}`);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(failed === 0 ? 'all checks hold' : `${failed} checks failed`);
process.exit(failed === 0 ? 0 : 1);
