// Who does what when: five numbers a span (lane, kind, start and length in ticks, name or -1), a lane a row, a kind a colour. Only spans in the visible window are drawn, and
// none narrower than a pixel's half beside one of its kind.
import { with_unit } from './format.js';
import { category_axis, grid, legend, tooltip, value_axis } from './parts.js';

export function timeline_height(chart) {
  return Math.max(190, 26 * chart.lanes.length + 130);
}

export function timeline_option(chart, colors, width) {
  const per_kind = chart.kinds.map(() => []);
  let begin = Infinity, end = -Infinity;
  for (let i = 0; i < chart.spans.length; i += 5) {
    const [lane, kind, from, ticks, name] = chart.spans.slice(i, i + 5);
    const start = chart.start_s + from * chart.tick_s, length = ticks * chart.tick_s;
    per_kind[kind].push([lane, start, start + length, name]);
    begin = Math.min(begin, start);
    end = Math.max(end, start + length);
  }
  const series = chart.kinds.map((kind, k) => {
    const drawn_to = [];  // per lane, in pixels
    return {
      type: 'custom', name: kind, color: colors.series[k % colors.series.length], clip: true, progressive: 0,
      encode: { x: [1, 2], y: 0 }, data: per_kind[k],
      renderItem: (params, api) => {
        const box = params.coordSys;
        const lane = api.value(0);
        if (params.dataIndexInside === 0) drawn_to.length = 0;
        const from = api.coord([api.value(1), lane]), to = api.coord([api.value(2), lane]);
        const left = Math.max(from[0], box.x), right = Math.min(to[0], box.x + box.width);
        if (right < box.x || left > box.x + box.width) return null;
        const already = drawn_to[lane] ?? -1;
        if (right <= already) return null;
        const wide = Math.max(0.5, right - left);
        drawn_to[lane] = left + wide;
        const height = 0.7 * api.size([0, 1])[1];
        return {
          type: 'rect', transition: [],
          shape: { x: left, y: from[1] - height / 2, width: wide, height },
          style: { fill: colors.series[k % colors.series.length], stroke: wide > 4 ? colors.background : undefined,
                   lineWidth: wide > 4 ? 0.5 : 0 },
        };
      },
    };
  });
  const time = value_axis(colors, { name: 'time', unit: 's', log: false }, 'x', width);
  const lanes = category_axis(colors, '', chart.lanes, 'y', width);
  lanes.inverse = true;
  const shared = { xAxisIndex: 0, filterMode: 'none' };
  return {
    grid: grid(true, { bottom: 52, top: 34 }),
    xAxis: { ...time, min: begin, max: end, name: '', axisLabel: { ...time.axisLabel, alignMaxLabel: 'right' } }, yAxis: lanes, series,
    legend: legend(colors, chart.kinds),
    dataZoom: [
      { ...shared, type: 'slider', bottom: 8, height: 22, brushSelect: false, moveHandleSize: 0, labelFormatter: (value) => with_unit(value, 's'),
        textStyle: { color: colors.muted }, borderColor: colors.line, fillerColor: `${colors.series[0]}33`,
        handleStyle: { color: colors.series[0] }, showDataShadow: false },
      { ...shared, type: 'inside', zoomOnMouseWheel: 'ctrl', moveOnMouseMove: true, preventDefaultMouseMove: false },
    ],
    tooltip: tooltip(colors, 'item', (item) => {
      const [lane, start, stop, name] = item.value;
      return `${name < 0 ? item.seriesName : `${chart.names[name]} (${item.seriesName})`}\n${chart.lanes[lane]}\n` +
        `${with_unit(stop - start, 's')}, from ${with_unit(start, 's', 6)}`;
    }),
  };
}
