// Lines, steps and points over two numbers.
import { with_unit } from './format.js';
import { grid, kFont, kLevelOfMarks, legend, mark_lines, reach_above, reach_below, round_log, tooltip, value_axis } from './parts.js';

const drawable = (axis, value) => Number.isFinite(value) && (!axis.log || value > 0);

// A mark beyond the data is shown all the same.
function reach(axis, values, marks) {
  const log = axis.type === 'log';
  let min = Infinity, max = -Infinity;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  const low = Math.min(...marks), high = Math.max(...marks);
  // Zero tells nothing about values that lie close together far from it.
  axis.scale = !log && Math.min(min, low) > 0.6 * Math.max(max, high);
  if (high > max) reach_above(axis, high);
  if (low < min) reach_below(axis, low);
  // Between two powers of ten a logarithmic axis would have no other label.
  if (log && Math.max(max, high) < 50 * Math.min(min, low)) {
    axis.min = round_log(Math.min(min, low), false);
    axis.max = round_log(Math.max(max, high), true);
  }
  if (axis.scale || axis.min < 0) delete axis.interval;  // whose steps are from zero
}

export function xy_option(chart, colors, width) {
  const kept = chart.series.map((series) => ({
    ...series,
    points: series.points
      .map((point, i) => ({ value: point, name: series.names ? series.names[i] : '' }))
      .filter(({ value }) => drawable(chart.x, value[0]) && drawable(chart.y, value[1])),
  }));
  const marks = chart.marks.filter((mark) =>
    (mark.x === undefined || drawable(chart.x, mark.x)) && (mark.y === undefined || drawable(chart.y, mark.y)));

  const series = kept.map((one, i) => {
    const color = colors.series[i % colors.series.length];
    if (one.drawn === 'points')
      return { type: 'scatter', name: one.name, data: one.points, color, symbolSize: one.points.length > 200 ? 5 : 8,
               itemStyle: { opacity: 0.85 } };
    return { type: 'line', name: one.name, data: one.points, color, lineStyle: { width: 2 },
             step: one.drawn === 'steps' ? 'end' : false, symbol: 'circle', symbolSize: 5,
             showSymbol: one.points.length <= 30, sampling: one.points.length > 4000 ? 'lttb' : undefined };
  });
  const points = marks.filter((mark) => mark.x !== undefined && mark.y !== undefined);
  series.push({
    type: 'scatter', name: '', color: colors.mark, symbol: 'diamond', symbolSize: 12, z: 5,
    data: points.map((mark) => ({ name: mark.name, value: [mark.x, mark.y] })),
    label: { show: true, position: 'top', color: colors.text, fontFamily: kFont, fontSize: 12, fontWeight: 600,
             formatter: (point) => point.name, textBorderColor: colors.background, textBorderWidth: 3 },
    labelLayout: { moveOverlap: 'shiftY' },
    markLine: mark_lines(colors, marks.filter((mark) => !points.includes(mark))
      .sort((a, b) => (a.x === undefined) - (b.x === undefined)).map((mark) =>
      mark.x === undefined ? { name: mark.name, yAxis: mark.y } : { name: mark.name, xAxis: mark.x })),
  });

  const above = kLevelOfMarks * Math.min(3, marks.filter((mark) => mark.y === undefined).length);
  const x = value_axis(colors, chart.x, 'x', width), y = value_axis(colors, chart.y, 'y', width, 10 + above);
  const of = (k) => kept.flatMap((one) => one.points.map(({ value }) => value[k]));
  reach(x, of(0), marks.map((mark) => mark.x).filter((value) => value !== undefined));
  reach(y, of(1), marks.map((mark) => mark.y).filter((value) => value !== undefined));
  const describe = (point) =>
    `${point.seriesName}${point.name ? `, ${point.name}` : ''}: ${with_unit(point.value[1], chart.y.unit)}`;
  const only_lines = kept.every((one) => one.drawn !== 'points');
  const named = kept.filter((one) => one.name).length > 1;
  return {
    grid: grid(named, { top: (named ? 60 : 32) + above }), xAxis: x, yAxis: y, series,
    legend: named ? legend(colors, kept.map((one) => one.name)) : undefined,
    dataZoom: [{ type: 'inside', xAxisIndex: 0, filterMode: 'none', zoomOnMouseWheel: 'ctrl', moveOnMouseMove: false,
                 preventDefaultMouseMove: false }],
    tooltip: tooltip(colors, only_lines ? 'axis' : 'item', (items) => {
      const list = [items].flat();
      return [`${chart.x.name}: ${with_unit(list[0].value[0], chart.x.unit)}`,
              ...list.map((item) => (item.seriesName ? describe(item)
                                                     : `${item.name}: ${with_unit(item.value[1], chart.y.unit)}`))]
        .join('\n');
    }),
  };
}
