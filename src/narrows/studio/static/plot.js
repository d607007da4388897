/** Plots in the house style, as SVG: lines, points and bars, with the numbers below. */
import { cell, el, name, number, svg, table } from './dom.js';


const WIDE = 480;
const HIGH = 270;
const EDGE = { left: 58, right: 14, top: 12, bottom: 44 };
const SHAPES = ['M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0', 'M-4-4h8v8h-8z', 'M0-5L5 4H-5z', 'M0-5L5 0L0 5L-5 0z',
  'M-4-4L4 4M-4 4L4-4', 'M0-5V5M-5 0H5'];
const COLOURS = 6;
const MOST = 12;

/**
 * Round numbers that cover a range.
 * @param {number} low
 * @param {number} high
 * @param {number} [wanted] how many, about
 * @returns {number[]}
 */
export function ticks(low, high, wanted = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((s) => s * power >= rough) ?? 10) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

/** @param {(number|null)[]} values @returns {[number, number]} their range, never of length zero */
function range(values) {
  const real = /** @type {number[]} */ (values.filter((v) => v !== null && Number.isFinite(v)));
  if (real.length === 0) return [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (const value of real) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const spare = low === high ? Math.abs(low) * 0.1 || 0.5 : (high - low) * 0.06;
  return [low - spare, high + spare];
}

/** @param {number} tick */
function tickText(tick) {
  return Math.abs(tick) >= 1000 || Number.isInteger(tick) ? number(tick)
    : String(parseFloat(tick.toPrecision(3))).replace('-', '−');
}

/** Where things go: numbers by a scale, words one after the other. @param {Narrows.Plot} plot */
function scales(plot) {
  const xs = plot.series.flatMap((s) => s.x);
  const words = plot.kind === 'bars' || xs.some((x) => typeof x === 'string')
    ? [...new Set(xs.map((x) => cell(x)))] : null;
  const ys = plot.series.flatMap((s) => s.y.flatMap((y, i) => {
    const error = s.error?.[i] ?? 0;
    return y === null ? [] : [y - error, y + error];
  }));
  if (plot.kind === 'bars') ys.push(0);
  let [low, high] = range(ys);
  if (ys.every((y) => y >= 0)) low = Math.max(low, 0);
  if (plot.kind === 'bars' && ys.every((y) => y <= 0)) high = 0;
  const [left, right] = words ? [-0.5, words.length - 0.5]
    : range(/** @type {(number|null)[]} */ (xs));
  const width = WIDE - EDGE.left - EDGE.right;
  const height = HIGH - EDGE.top - EDGE.bottom;
  return {
    words, low, high, left, right,
    /** @param {number|string|null} x */
    x: (x) => {
      const at = words ? words.indexOf(cell(x)) : Number(x);
      return EDGE.left + ((at - left) / (right - left)) * width;
    },
    /** @param {number} y */
    y: (y) => EDGE.top + (1 - (y - low) / (high - low)) * height,
  };
}

/** @param {Narrows.Plot} plot @returns {HTMLElement} */
export function figure(plot) {
  const at = scales(plot);
  const drawn = svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, role: 'img',
    'aria-label': `${plot.title}: ${plot.y} by ${plot.x}` });
  axes(drawn, plot, at);
  const shown = plot.series.slice(0, MOST);
  const draw = plot.kind === 'bars' ? bars : marks;
  shown.forEach((curve, i) => drawn.append(draw(curve, i, at, plot, shown.length)));
  const rows = plot.series.flatMap((s) => s.y.map((y, i) => [
    name(s.name), name(cell(s.x[i])), number(y), s.error ? number(s.error[i]) : '']));
  const header = ['series', plot.x, plot.y, '±'];
  const more = plot.series.length - shown.length;
  return el('figure', {}, el('figcaption', {}, name(plot.title)), drawn,
    plot.series.length > 1 && legend(shown, plot.kind),
    more > 0 && el('p', { class: 'quiet' }, `${more} more among the numbers.`),
    el('details', {}, el('summary', {}, 'The numbers'),
      table(`Numbers of ${plot.title}`, header, rows)));
}

/** @param {SVGElement} drawn @param {Narrows.Plot} plot @param {ReturnType<typeof scales>} at */
function axes(drawn, plot, at) {
  const floor = HIGH - EDGE.bottom;
  for (const tick of ticks(at.low, at.high)) {
    const y = at.y(tick);
    drawn.append(svg('line', { class: 'grid', x1: EDGE.left, x2: WIDE - EDGE.right, y1: y, y2: y }),
      svg('text', { x: EDGE.left - 7, y: y + 4, class: 'end' }, tickText(tick)));
  }
  const words = at.words;
  const every = words ? Math.ceil(words.length / 10) : 1;
  const places = words ? words.filter((_, i) => i % every === 0) : ticks(at.left, at.right, 6);
  for (const place of places) {
    const text = typeof place === 'number' ? tickText(place) : place.slice(0, words && words.length > 4 ? 7 : 16);
    drawn.append(svg('text', { x: at.x(place), y: floor + 16, class: 'middle' }, text));
  }
  drawn.append(svg('line', { class: 'axis', x1: EDGE.left, x2: WIDE - EDGE.right, y1: floor, y2: floor }),
    svg('text', { x: (EDGE.left + WIDE - EDGE.right) / 2, y: HIGH - 8, class: 'middle title' }, plot.x),
    svg('text', { class: 'middle title', transform: `translate(12 ${(EDGE.top + floor) / 2}) rotate(-90)` },
      plot.y));
}

/**
 * @param {Narrows.Curve} curve
 * @param {number} i
 * @param {ReturnType<typeof scales>} at
 * @param {Narrows.Plot} plot
 */
function marks(curve, i, at, plot) {
  const group = svg('g', { class: `series s${i % COLOURS}` });
  if (plot.kind === 'line') {
    const dashed = i >= COLOURS;
    group.append(svg('path', { class: dashed ? 'line dashed' : 'line', d: path(curve.x, curve.y, at) }));
  }
  const crowded = plot.kind === 'line' && curve.y.length > 40;
  curve.y.forEach((y, j) => {
    const x = curve.x[j] ?? null;
    if (y === null || x === null || crowded) return;
    const error = curve.error?.[j];
    if (error) group.append(whisker(at.x(x), at.y(y - error), at.y(y + error), 'error'));
    group.append(svg('path', { class: i % SHAPES.length > 3 ? 'dot open' : 'dot', d: SHAPES[i % SHAPES.length] ?? '',
      transform: `translate(${at.x(x)} ${at.y(y)})` }));
  });
  return group;
}

/**
 * @param {Narrows.Curve} curve
 * @param {number} i
 * @param {ReturnType<typeof scales>} at
 * @param {Narrows.Plot} _plot
 * @param {number} many
 */
function bars(curve, i, at, _plot, many) {
  const group = svg('g', { class: `series s${i % COLOURS}` });
  const room = (WIDE - EDGE.left - EDGE.right) / (at.right - at.left);
  const wide = Math.max(1, (room * 0.76) / many);
  curve.y.forEach((y, j) => {
    const x = curve.x[j] ?? null;
    if (y === null || x === null) return;
    const left = at.x(x) + (i - many / 2) * wide;
    const error = curve.error?.[j];
    group.append(svg('rect', { class: 'bar', x: left + 0.5, width: Math.max(0.5, wide - 1),
      y: Math.min(at.y(y), at.y(0)), height: Math.abs(at.y(y) - at.y(0)) }));
    const middle = left + wide / 2;
    if (error) group.append(whisker(middle, at.y(y - error), at.y(y + error), 'error ink'));
  });
  return group;
}

/** @param {number} x @param {number} y1 @param {number} y2 @param {string} kind */
function whisker(x, y1, y2, kind) {
  return svg('line', { class: kind, x1: x, x2: x, y1, y2 });
}

/**
 * @param {(number|string|null)[]} xs
 * @param {(number|null)[]} ys
 * @param {{x: (x: any) => number, y: (y: number) => number}} at
 * @returns {string} a path that breaks where a value is missing
 */
export function path(xs, ys, at) {
  let pen = 'M';
  let found = '';
  ys.forEach((y, i) => {
    const x = xs[i] ?? null;
    if (y === null || x === null) {
      pen = 'M';
      return;
    }
    found += `${pen}${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`;
    pen = 'L';
  });
  return found;
}

/** @param {Narrows.Curve[]} series @param {string} kind */
function legend(series, kind) {
  return el('ul', { class: 'legend' }, ...series.map((curve, i) => {
    const shape = kind === 'bars' ? 'M-5-5h10v10h-10z' : SHAPES[i % SHAPES.length] ?? '';
    const key = svg('svg', { viewBox: '-10 -7 20 14', 'aria-hidden': 'true', class: `key s${i % COLOURS}` },
      kind === 'line' && svg('path', { class: i >= COLOURS ? 'line dashed' : 'line', d: 'M-10 0H10' }),
      svg('path', { class: kind !== 'bars' && i % SHAPES.length > 3 ? 'dot open' : 'dot', d: shape }));
    return el('li', {}, key, name(curve.name));
  }));
}

/**
 * One series of a case over its steps; `weight` shades the steps that speak for a unit.
 * @param {Narrows.Series} series
 * @param {(number|null)[]|null} [weight]
 */
export function sparkline(series, weight = null) {
  const wide = 360;
  const high = 72;
  const [low, top] = range(series.values);
  const last = Math.max(1, series.values.length - 1);
  const at = {
    x: (/** @type {number} */ x) => (x / last) * wide,
    y: (/** @type {number} */ y) => 4 + (1 - (y - low) / (top - low)) * (high - 8),
  };
  const drawn = svg('svg', { viewBox: `0 0 ${wide} ${high}`, class: 's0 spark', role: 'img',
    preserveAspectRatio: 'none',
    'aria-label': `${series.name}, ${series.values.length} steps from ${number(low)} to ${number(top)}` });
  if (weight) drawn.append(shade(weight, wide, high));
  drawn.append(svg('path', { class: 'line', d: path(series.values.map((_, i) => i), series.values, at),
    'vector-effect': 'non-scaling-stroke' }));
  const real = series.values.filter((v) => v !== null);
  const span = real.length ? `${number(Math.min(...real))} to ${number(Math.max(...real))}` : 'no values';
  return el('figure', { class: 'series' }, el('figcaption', {}, name(series.name),
    el('span', { class: 'quiet' }, span)), drawn);
}

/** @param {(number|null)[]} weight @param {number} wide @param {number} high */
export function shade(weight, wide, high) {
  const most = Math.max(...weight.map((w) => Math.abs(w ?? 0)), 1e-12);
  const each = wide / Math.max(1, weight.length);
  return svg('g', { class: 'shade' }, ...weight.map((w, i) => svg('rect', {
    class: (w ?? 0) < 0 ? 'against' : 'for', x: i * each, width: each + 0.3, y: 0, height: high,
    'fill-opacity': ((0.75 * Math.abs(w ?? 0)) / most).toFixed(3) })));
}
