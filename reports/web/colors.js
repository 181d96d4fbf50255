// Colours that stay apart for colour-blind eyes (after Okabe and Ito, with lighter ones for dark
// backgrounds), and those of text and lines as in page.css.

const kLight = {
  text: '#1b1f24', muted: '#57606a', line: '#d0d7de', background: '#ffffff', panel: '#ffffff',
  series: ['#0072b2', '#d55e00', '#009e73', '#aa4499', '#56b4e9', '#e69f00', '#6b7280', '#882255',
           '#7f7f1f', '#44aa99', '#00405f', '#f5a37a', '#5fd3ae', '#d9a0d0', '#b07d00', '#b3b9c2'],
  up: '#009e73', down: '#d55e00', mark: '#1b1f24',
  ramp: ['#f4f7fb', '#b9d5ea', '#6aaed6', '#2f7ebc', '#0b559f', '#08306b'],
};
const kDark = {
  text: '#e6edf3', muted: '#9da7b3', line: '#373e47', background: '#161b22', panel: '#22272e',
  series: ['#4fa9e8', '#ff8a4c', '#2cc295', '#e39bc6', '#9ad7f7', '#f2b53a', '#9ca3af', '#f06fa8',
           '#cbcb5e', '#7bdccf', '#1f6fa8', '#b35a2a', '#17805f', '#a8628c', '#5c8fae', '#a87d1f'],
  up: '#2cc295', down: '#ff8a4c', mark: '#e6edf3',
  ramp: ['#1c2530', '#14406b', '#1b6ca8', '#3f9bd8', '#8cc8ee', '#e3f2fd'],
};

export function colors_of(dark) {
  return dark ? kDark : kLight;
}
