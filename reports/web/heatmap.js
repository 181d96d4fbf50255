// A value for each pair of names.
import { is_narrow, with_unit } from './format.js';
import { category_axis, grid, kFont, tooltip } from './parts.js';

export function heatmap_height(chart, width) {
  const row = Math.max(4, Math.min(24, 480 / chart.y_categories.length));
  return Math.max(200, row * chart.y_categories.length + 130 + (is_narrow(width) ? 20 : 0));
}

export function heatmap_option(chart, colors, width) {
  // On a logarithmic scale the colour is the exponent; what is not above zero has none.
  const shown = (value) => (chart.value.log ? Math.log10(value) : value);
  const data = [];
  let min = Infinity, max = -Infinity;
  chart.cells.forEach((row, y) => row.forEach((value, x) => {
    if (chart.value.log && !(value > 0)) return;
    data.push([x, y, shown(value)]);
    min = Math.min(min, shown(value));
    max = Math.max(max, shown(value));
  }));
  const value_text = (v) => with_unit(chart.value.log ? 10 ** v : v, chart.value.unit);
  const x = category_axis(colors, `${chart.x_name} (colour: ${chart.value.name})`, chart.x_categories, 'x', width);
  const y = category_axis(colors, chart.y_name, chart.y_categories, 'y', width);
  y.inverse = true;
  y.name = chart.y_name;
  y.nameLocation = 'start';  // which is the top of an inverted axis
  y.nameGap = 10;
  y.nameTextStyle = { ...y.nameTextStyle, align: 'left', padding: [0, 0, 0, -24] };
  x.axisLabel = { ...x.axisLabel, width: 80 };
  return {
    grid: grid(false, { bottom: 92 }), xAxis: x, yAxis: y,
    visualMap: {
      type: 'continuous', min, max: max > min ? max : min + 1, dimension: 2, calculable: false,
      orient: 'horizontal', left: 'center', bottom: 4, itemWidth: 12, itemHeight: is_narrow(width) ? 120 : 220,
      text: [value_text(max), value_text(min)], textGap: 8,
      textStyle: { color: colors.text, fontFamily: kFont, fontSize: 11 },
      inRange: { color: colors.ramp },
    },
    // Not ECharts' own heatmap: 6.1 always draws that one bit by bit, and paper does not wait.
    series: [{
      type: 'custom', data, clip: true, progressive: 0, encode: { x: 0, y: 1, value: 2 },
      renderItem: (params, api) => {
        const [left, top] = api.coord([api.value(0), api.value(1)]);
        const [wide, high] = api.size([1, 1]);
        return {
          type: 'rect', emphasis: { style: { stroke: colors.mark, lineWidth: 1 } },
          // Half a pixel more: no gaps between neighbours.
          shape: { x: left - wide / 2, y: top - high / 2, width: wide + 0.5, height: high + 0.5 },
          style: { fill: api.visual('color') },
        };
      },
    }],
    tooltip: tooltip(colors, 'item', (cell) =>
      `${chart.x_name}: ${chart.x_categories[cell.value[0]]}\n${chart.y_name}: ${chart.y_categories[cell.value[1]]}\n` +
      `${chart.value.name}: ${value_text(cell.value[2])}`),
  };
}
