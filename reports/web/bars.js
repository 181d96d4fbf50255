// Bars from one value to another. Series share a place unless their bars would cover each other.
import { is_narrow, with_unit } from './format.js';
import { category_axis, grid, kFont, legend, mark_lines, reach_above, tooltip, value_axis } from './parts.js';

function cover_each_other(series) {
  const low = (bar) => Math.min(bar[0], bar[1]), high = (bar) => Math.max(bar[0], bar[1]);
  for (let i = 0; i < series.length; ++i)
    for (let k = i + 1; k < series.length; ++k)
      for (let c = 0; c < series[i].bars.length; ++c) {
        const one = series[i].bars[c], other = series[k].bars[c];
        const shared = Math.min(high(one), high(other)) - Math.max(low(one), low(other));
        if (shared > 1e-9 * Math.max(Math.abs(high(one)), Math.abs(high(other)))) return true;
      }
  return false;
}

export function bars_height(chart, width) {
  const side_by_side = cover_each_other(chart.series) ? chart.series.length : 1;
  return chart.sideways ? Math.max(140, chart.categories.length * (10 + 16 * side_by_side) + 110)
                        : is_narrow(width) ? 280 : 340;
}

export function bars_option(chart, colors, width) {
  const beside = cover_each_other(chart.series);
  const many = chart.series.length > 1;
  const hangs = !many && chart.series[0].bars.some((bar) => bar[0] !== 0);
  const labelled = !many && chart.categories.length <= (chart.sideways ? 40 : width / 64);
  const log_floor = chart.value.log
    ? Math.min(...chart.series.flatMap((one) => one.bars.flat()).filter((value) => value > 0)) / 2 : 0;
  // A waterfall's bars say which way they go.
  const color_of = (bar, i) =>
    hangs && bar[0] !== 0 ? (bar[1] < bar[0] ? colors.down : colors.up)
                          : colors.series[i % colors.series.length];

  const series = chart.series.map((one, i) => ({
    type: 'custom', name: one.name, color: colors.series[i % colors.series.length], clip: false, progressive: 0,
    encode: chart.sideways ? { x: [1, 2], y: 0 } : { x: 0, y: [1, 2] },
    data: one.bars.map((bar, c) => [c, bar[0], bar[1]]),
    renderItem: (params, api) => {
      const c = api.value(0);
      const bar = [api.value(1), api.value(2)];
      if (bar[0] === bar[1]) return null;
      const at = (value) => api.coord(chart.sideways ? [Math.max(value, log_floor || value), c]
                                                     : [c, Math.max(value, log_floor || value)]);
      const from = at(bar[0]), to = at(bar[1]);
      const slot = chart.sideways ? api.size([0, 1])[1] : api.size([1, 0])[0];
      const all = Math.min(0.72 * slot, beside ? 28 * chart.series.length : 56);
      const thick = beside ? all / chart.series.length : all;
      const offset = beside ? -all / 2 + i * thick : -all / 2;
      const shape = chart.sideways
        ? { x: Math.min(from[0], to[0]), y: from[1] + offset, width: Math.max(1, Math.abs(to[0] - from[0])),
            height: thick }
        : { x: from[0] + offset, y: Math.min(from[1], to[1]), width: thick,
            height: Math.max(1, Math.abs(to[1] - from[1])) };
      const item = { type: 'rect', shape, style: { fill: color_of(bar, i) } };
      if (!labelled) return item;
      const amount = with_unit(hangs && bar[0] !== 0 ? bar[1] - bar[0] : bar[1], chart.value.unit);
      const label = {
        type: 'text', silent: true,
        style: {
          text: amount, fill: colors.text, font: `11px ${kFont}`,
          x: chart.sideways ? shape.x + shape.width + 6 : shape.x + shape.width / 2,
          y: chart.sideways ? shape.y + shape.height / 2 : shape.y - 4,
          align: chart.sideways ? 'left' : 'center', verticalAlign: chart.sideways ? 'middle' : 'bottom',
        },
      };
      return { type: 'group', children: [item, label] };
    },
  }));
  if (chart.marks.length > 0)
    series[0].markLine = mark_lines(colors, chart.marks.filter((mark) => mark.y !== undefined).map((mark) => (
      chart.sideways ? { name: mark.name, xAxis: mark.y } : { name: mark.name, yAxis: mark.y })));

  const value = value_axis(colors, chart.value, chart.sideways ? 'x' : 'y', width);
  const category = category_axis(colors, chart.category_name, chart.categories,
                                 chart.sideways ? 'y' : 'x', width);
  if (chart.sideways) category.inverse = true;
  // Bars that all start elsewhere, a tornado around a value, say nothing about zero.
  value.scale = chart.series.every((one) => one.bars.every((bar) => bar[0] !== 0 && bar[1] !== 0));
  const highest = Math.max(...chart.marks.map((mark) => mark.y ?? -Infinity));
  const lowest = Math.min(...chart.series.flatMap((one) => one.bars.flat()));
  if (highest > Math.max(...chart.series.flatMap((one) => one.bars.flat()))) {
    reach_above(value, highest);
    if (lowest < 0) delete value.interval;  // whose steps are from zero
  }
  return {
    grid: grid(many, chart.sideways && labelled ? { right: 76 } : {}),
    xAxis: chart.sideways ? value : category, yAxis: chart.sideways ? category : value, series,
    legend: many ? legend(colors, chart.series.map((one) => one.name)) : undefined,
    tooltip: tooltip(colors, 'axis', (items) => {
      const lines = items.filter((item) => item.value[1] !== item.value[2]).map((item) => {
        const [, from, to] = item.value;
        return `${item.seriesName}: ${with_unit(to - from, chart.value.unit)}` +
          (from === 0 ? '' : ` (${with_unit(from, chart.value.unit)} to ${with_unit(to, chart.value.unit)})`);
      });
      return [chart.categories[items[0].dataIndex], ...lines].join('\n');
    }, 'shadow'),
  };
}
