// What all charts share: axes, tooltip, legend.
import { axis_name, is_narrow, tick } from './format.js';

export const kFont = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

// The tooltip is drawn on the canvas: as HTML it would need style attributes, which the page's
// security policy refuses.
export function tooltip(colors, trigger, formatter, pointer = 'line') {
  return {
    trigger, formatter,
    renderMode: 'richText', confine: true,
    backgroundColor: colors.panel, borderColor: colors.line, borderWidth: 1,
    textStyle: { color: colors.text, fontFamily: kFont, fontSize: 12 },
    axisPointer: { type: pointer, lineStyle: { color: colors.muted },
                   shadowStyle: { color: colors.muted, opacity: 0.12 } },
  };
}

export function legend(colors, names) {
  return {
    type: 'scroll', top: 3, left: 0, right: 0, data: names,
    textStyle: { color: colors.text, fontFamily: kFont }, pageTextStyle: { color: colors.text },
    pageIconColor: colors.text, pageIconInactiveColor: colors.line, itemWidth: 16, itemHeight: 10,
    inactiveColor: colors.muted,
  };
}

function axis_look(colors) {
  return {
    nameTextStyle: { color: colors.muted, fontFamily: kFont, fontSize: 12 },
    axisLine: { show: true, lineStyle: { color: colors.muted } },
    axisTick: { lineStyle: { color: colors.line } },
    axisLabel: { color: colors.text, fontFamily: kFont, fontSize: 11, hideOverlap: true },
    splitLine: { lineStyle: { color: colors.line } },
  };
}

// A vertical axis has its name on top, so that a narrow chart keeps its width.
export function value_axis(colors, axis, place, width, name_gap = 10) {
  const look = axis_look(colors);
  return {
    ...look,
    type: axis.log ? 'log' : 'value',
    name: axis_name(axis), nameLocation: place === 'x' ? 'middle' : 'end', nameGap: place === 'x' ? 28 : name_gap,
    nameTextStyle: { ...look.nameTextStyle, align: place === 'x' ? 'center' : 'left',
                     padding: place === 'x' ? 0 : [0, 0, 0, -24] },
    splitNumber: is_narrow(width) ? 3 : 5,
    axisLabel: { ...look.axisLabel, formatter: (value) => tick(value, axis.unit) },
    minorTick: { show: axis.log, splitNumber: 9, lineStyle: { color: colors.line } },
    minorSplitLine: { show: axis.log, lineStyle: { color: colors.line, opacity: 0.35 } },
  };
}

export function category_axis(colors, name, categories, place, width) {
  const look = axis_look(colors);
  return {
    ...look,
    type: 'category', data: categories,
    name: place === 'x' ? name : '', nameLocation: 'middle', nameGap: 28, splitLine: { show: false },
    axisLabel: { ...look.axisLabel, width: Math.min(260, (is_narrow(width) ? 0.38 : 0.42) * width), overflow: 'truncate' },
  };
}

export function grid(has_legend, extra = {}) {
  return { top: has_legend ? 60 : 32, left: 8, right: 20, bottom: 36, outerBoundsMode: 'same',
           outerBoundsContain: 'axisLabel', ...extra };
}

// Lines across the chart; of marks with one coordinate. The name of an upright one stands above the
// plot, where no data is, on one of three levels, for neighbours are often close.
export const kLevelOfMarks = 14;

export function mark_lines(colors, lines) {
  return {
    silent: true, symbol: 'none', animation: false,
    lineStyle: { color: colors.mark, type: 'dashed', width: 1.2 },
    label: { color: colors.text, fontFamily: kFont, fontSize: 11, formatter: (line) => line.name,
             textBorderColor: colors.background, textBorderWidth: 3 },
    data: lines.map((line, i) => ({
      ...line, label: line.xAxis === undefined ? { position: 'insideEndTop' }
                                               : { position: 'end', rotate: 0, distance: 4 + kLevelOfMarks * (i % 3) },
    })),
  };
}

// Lets an axis reach a mark beyond its data: up to the next round number, in round steps.
const kSteps = [[1, 5], [1.2, 4], [1.5, 5], [2, 4], [2.5, 5], [3, 3], [4, 4], [5, 5], [6, 3], [8, 4], [10, 5]];

export function reach_above(axis, value) {
  if (!(value > 0)) return;
  const size = 10 ** Math.floor(Math.log10(value));
  if (axis.type === 'log') {
    axis.max = value > size ? 10 * size : size;
    return;
  }
  const [factor, steps] = kSteps.find(([candidate]) => candidate * size >= 1.01 * value) ?? [12, 4];
  axis.max = factor * size;
  axis.interval = axis.max / steps;
}

export function reach_below(axis, value) {
  const size = 10 ** Math.floor(Math.log10(Math.abs(value)));
  if (axis.type === 'log') axis.min = size;
  else if (value < 0) axis.min = -kSteps.find(([candidate]) => candidate * size >= -value)[0] * size;
}

// The next 1, 2 or 5 times a power of ten.
export function round_log(value, up) {
  const size = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const fits = up ? [1, 2, 5, 10].find((factor) => factor * size >= value * (1 - 1e-9))
                  : [5, 2, 1].find((factor) => factor * size <= value * (1 + 1e-9));
  return Number(((fits ?? 1) * size).toPrecision(12));
}
