// Functions that run inside the page; each returns a list of problems.

export function contrast_failures() {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return color.startsWith('color(srgb') ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const problems = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest('script, .quiet, [hidden]')) continue;
    if (element.getClientRects().length === 0) continue;
    let behind = element;
    while (behind && parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const back = luminance(parse(getComputedStyle(behind ?? document.body).backgroundColor).slice(0, 3));
    const front = luminance(parse(getComputedStyle(element).color).slice(0, 3));
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) problems.add(`${element.tagName}.${element.className}: ${contrast.toFixed(2)}`);
  }
  return [...problems];
}

export function outside_of_page() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const problems = [`the page is ${document.documentElement.scrollWidth} wide`];
  for (const element of document.body.querySelectorAll('*'))
    if (element.getBoundingClientRect().right > width + 1 && !element.parentElement.closest('.scroll'))
      problems.push(`${element.tagName}.${element.className}`);
  return problems;
}

export function headings() {
  const problems = [];
  let last = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) problems.push(`heading "${heading.textContent}" is h${level} after h${last}`);
    last = level;
  }
  if (document.querySelectorAll('h1').length !== 1) problems.push('not exactly one h1');
  for (const landmark of ['header', 'nav', 'main', 'footer'])
    if (document.querySelectorAll(landmark).length !== 1) problems.push(`not exactly one <${landmark}>`);
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  if (new Set(ids).size !== ids.length) problems.push('an id stands twice');
  return problems;
}

export function unnamed() {
  const problems = [];
  const name_of = (element) => (element.getAttribute('aria-label')
    ?? document.getElementById(element.getAttribute('aria-labelledby') ?? '')?.textContent
    ?? element.textContent).trim();
  for (const element of document.querySelectorAll('button, a, summary, nav, section, figure, [role]'))
    if (!name_of(element)) problems.push(`${element.tagName}.${element.className} has no name`);
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent.trim()) problems.push('a table has no caption');
    if ([...table.querySelectorAll('th')].some((cell) => !cell.scope)) problems.push('a header has no scope');
  }
  for (const link of document.querySelectorAll('a'))
    if (!document.querySelector(link.getAttribute('href'))) problems.push(`a link leads nowhere: ${link.href}`);
  return problems;
}
