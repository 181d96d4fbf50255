// Numbers for people, as the report's tables print them: four digits, units chosen for reading.

const kPrefixes = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm'], [1e-6, 'u'],
                   [1e-9, 'n'], [1e-12, 'p']];
// Units that people give prefixes; seconds only take small ones, the others only large ones.
const kScaled = new Set(['s', 'B', 'B/s', 'bit/s', 'FLOP', 'FLOP/s', 'W', 'J', 'Hz']);

export function plain(value, digits = 4) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-4) return value.toExponential(digits - 1);
  const rounded = Number(value.toPrecision(size >= 1e4 ? Math.max(digits, 6) : digits));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 12 }).replaceAll(',', '\u202f');
}

export function with_unit(value, unit, digits = 4) {
  if (!unit) return plain(value, digits);
  if (unit === '$' || unit === 'USD') return (value < 0 ? '-$' : '$') + plain(Math.abs(value), digits);
  if (!kScaled.has(unit) || value === 0) return `${plain(value, digits)} ${unit}`;
  const fits = kPrefixes.find(([size]) =>
    Math.abs(value) >= size && (unit === 's' ? size <= 1 : size >= 1));
  const [size, prefix] = fits ?? (unit === 's' ? kPrefixes.at(-1) : [1, '']);
  return `${plain(value / size, digits)} ${prefix}${unit}`;
}

// For the ticks of an axis: short, and the unit is in the axis' name where it cannot be scaled.
export function tick(value, unit) {
  if (kScaled.has(unit)) return with_unit(value, unit, 3);
  if (Math.abs(value) >= 1e6)
    for (const [size, prefix] of kPrefixes)
      if (Math.abs(value) >= size) return plain(value / size, 3) + (prefix === 'G' ? 'B' : prefix);
  return unit === '$' || unit === 'USD' ? with_unit(value, unit, 3) : plain(value, 4);
}

export function axis_name(axis) {
  return axis.unit && !kScaled.has(axis.unit) ? `${axis.name} (${axis.unit})` : axis.name;
}

export function is_narrow(width) {
  return width < 520;
}
