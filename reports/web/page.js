// Draws the charts of a report. Each <figure class="chart"> holds its data as JSON and an empty box;
// a box is drawn when it comes near the window, the rest when the browser is idle, and all of them
// before the page is printed. <html data-charts> counts those drawn.
import { CustomChart, LineChart, ScatterChart } from 'echarts/charts';
import { DataZoomComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent,
         VisualMapComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { LabelLayout } from 'echarts/features';
import { CanvasRenderer } from 'echarts/renderers';

import { bars_height, bars_option } from './bars.js';
import { colors_of } from './colors.js';
import { heatmap_height, heatmap_option } from './heatmap.js';
import { kFont } from './parts.js';
import { timeline_height, timeline_option } from './timeline.js';
import { xy_option } from './xy.js';

use([CustomChart, LineChart, ScatterChart, DataZoomComponent, GridComponent, LegendComponent,
     MarkLineComponent, TooltipComponent, VisualMapComponent, LabelLayout, CanvasRenderer]);

const kKinds = {
  xy: { option: xy_option, height: () => 340 },
  bars: { option: bars_option, height: bars_height },
  heatmap: { option: heatmap_option, height: heatmap_height },
  timeline: { option: timeline_option, height: timeline_height },
};

const kPaperWidth = 680;  // of a printed page between its margins, in CSS pixels
const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');
let printing = false;
const is_dark = () => !printing && (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);

class Figure {
  constructor(element) {
    this.box = element.querySelector('.plot');
    this.source = element.querySelector('script[type="application/json"]');
    this.drawing = null;
  }

  draw() {
    if (this.drawing) return;
    this.chart = JSON.parse(this.source.textContent);
    this.kind = kKinds[this.chart.type];
    this.size();
    // Twice the pixels: sharp on paper too. (A drawing keeps the number it was made with.)
    this.drawing = init(this.box, null, { renderer: 'canvas', width: this.width, height: this.height,
                                          devicePixelRatio: Math.max(2, devicePixelRatio) });
    this.show();
    if (this.chart.type === 'timeline')
      this.box.addEventListener('keydown', (event) => this.zoom_by_key(event));
    root.dataset.charts = String(Number(root.dataset.charts) + 1);
  }

  size() {
    this.width = printing ? kPaperWidth : this.box.clientWidth || kPaperWidth;
    this.height = this.kind.height(this.chart, this.width);
    this.box.style.height = `${this.height}px`;
  }

  show() {
    const option = this.kind.option(this.chart, colors_of(is_dark()), this.width);
    this.drawing.setOption({ animation: false, textStyle: { fontFamily: kFont }, ...option }, { notMerge: true });
  }

  redraw() {
    if (!this.drawing) return;
    this.size();
    this.drawing.resize({ width: this.width, height: this.height });
    this.show();
  }

  // +, - and 0 zoom; the arrows move.
  zoom_by_key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { start, end } = this.drawing.getOption().dataZoom[0];
    const wide = end - start, middle = (start + end) / 2;
    const windows = {
      '+': [middle - wide / 4, middle + wide / 4], '=': [middle - wide / 4, middle + wide / 4],
      '-': [middle - wide, middle + wide], 0: [0, 100],
      ArrowLeft: [start - wide / 4, end - wide / 4], ArrowRight: [start + wide / 4, end + wide / 4],
    };
    if (!(event.key in windows)) return;
    event.preventDefault();
    let [from, to] = windows[event.key];
    if (from < 0) [from, to] = [0, Math.min(100, to - from)];
    if (to > 100) [from, to] = [Math.max(0, from - (to - 100)), 100];
    this.drawing.dispatchAction({ type: 'dataZoom', dataZoomIndex: 0, start: from, end: to });
  }
}

const figures = [...document.querySelectorAll('figure.chart')].map((element) => new Figure(element));
const of_box = new Map(figures.map((figure) => [figure.box, figure]));

const near = new IntersectionObserver((entries) => {
  for (const entry of entries)
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      of_box.get(entry.target).draw();
    }
}, { rootMargin: '300px' });

// In the next frame: a box that changes its height while sizes are observed is an error to browsers.
const resized = new ResizeObserver((entries) => requestAnimationFrame(() => {
  if (printing) return;
  for (const entry of entries) {
    const figure = of_box.get(entry.target);
    if (figure.drawing && Math.abs(figure.box.clientWidth - figure.width) >= 1) figure.redraw();
  }
}));

for (const figure of figures) {
  near.observe(figure.box);
  resized.observe(figure.box);
}

// One a turn, so that the page answers between them.
const when_idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function draw_rest() {
  const next = figures.find((figure) => !figure.drawing);
  if (!next) return;
  next.draw();
  when_idle(draw_rest);
}
addEventListener('load', () => when_idle(draw_rest));

addEventListener('moesim-theme', () => figures.forEach((figure) => figure.redraw()));
addEventListener('beforeprint', () => {
  printing = true;
  figures.forEach((figure) => (figure.drawing ? figure.redraw() : figure.draw()));
});
addEventListener('afterprint', () => {
  printing = false;
  figures.forEach((figure) => figure.redraw());
});
