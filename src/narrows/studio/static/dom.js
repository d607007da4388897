/**
 * Building elements and writing numbers. Texts only ever become text nodes and attributes.
 *
 * @typedef {Node|string|number|null|undefined|false} Child
 * @typedef {Record<string, string|number|boolean|null|undefined|((event: any) => void)>} Props
 */

/**
 * @param {Element} node
 * @param {Props} props attributes; a function under a name like `click` listens
 * @param {Child[]} children
 */
function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (/^(on|style$|srcdoc$)/i.test(name)) throw new Error(`attribute ${name} is not allowed`);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
  put(node, children);
}

/** Add children to an element, leaving out what is empty. @param {Element} node @param {Child[]} children */
export function put(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  fill(node, props, children);
  return node;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  fill(node, props, children);
  return /** @type {SVGElementTagNameMap[K]} */ (node);
}

/**
 * A name that somebody else wrote: isolated, so that its direction stays its own.
 * @param {unknown} text
 * @param {string} [kind] a class
 */
export function name(text, kind) {
  return el('bdi', { class: kind, dir: 'auto' }, String(text));
}

/**
 * @param {string} label
 * @param {() => void} act
 * @param {Props} [props]
 * @param {...Child} children shown in place of the label
 */
export function button(label, act, props = {}, ...children) {
  const shown = children.length > 0 ? children : [label];
  const spoken = children.length > 0 ? { 'aria-label': label, title: label } : {};
  return el('button', { type: 'button', click: act, ...spoken, ...props }, ...shown);
}

/**
 * A choice of one among named values.
 * @param {string} label spoken, and shown when `shown` is set
 * @param {string[][]} options value and text
 * @param {string} value
 * @param {(value: string) => void} change
 * @param {Props} [props]
 */
export function select(label, options, value, change, props = {}) {
  const node = el('select', { 'aria-label': label, change: () => change(node.value), ...props });
  for (const [key = '', text = ''] of options) node.append(el('option', { value: key }, text));
  node.value = value;
  return node;
}

const NONE = '–';

/** @param {number|null|undefined} value @returns {string} a few digits, with a true minus sign */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 0.005)) return value.toExponential(1).replace('-', '−');
  const digits = size >= 100 || Number.isInteger(value) ? 0 : 2;
  const fixed = size >= 100 && !Number.isInteger(value) ? value.toFixed(1) : value.toFixed(digits);
  return fixed.replace(/\B(?=(\d{3})+(?!\d)(?=\.|$))/g, ',').replace('-', '−');
}

/**
 * @param {number|null} value
 * @param {number} most the largest beside it, which decides on the digits
 * @returns {string} with its sign
 */
export function signed(value, most) {
  if (value === null) return NONE;
  const size = Math.abs(value);
  const text = size >= 1000 ? size.toExponential(1) : size.toFixed(most < 0.05 ? 4 : most < 0.5 ? 3 : 2);
  return (Number(text) === 0 ? '' : value > 0 ? '+' : '−') + text;
}

/** @param {number|null|undefined} share @param {number} [digits] */
export function percent(share, digits = 0) {
  if (share === null || share === undefined) return NONE;
  return `${(100 * share).toFixed(digits)} %`;
}

/** @param {unknown} cell of a table, somebody else's @returns {string} */
export function cell(cell) {
  if (cell === null || cell === undefined || cell === '') return NONE;
  if (typeof cell === 'number') return number(cell);
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  return String(cell);
}

/** @param {number} count @param {string} word @param {string} [many] */
export function count(count, word, many = word + 's') {
  return `${number(count)} ${count === 1 ? word : many}`;
}

/** @param {string} time as the journal writes it @returns {string} in the reader's own clock */
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/**
 * A table that scrolls inside its box.
 * @param {string} label
 * @param {string[]} header
 * @param {Child[][]} rows the first cell of each is its head
 */
export function table(label, header, rows) {
  const head = el('tr', {}, ...header.map((text) => el('th', { scope: 'col' }, name(text))));
  const body = rows.map((row) => {
    const cells = row.map((child, i) =>
      i === 0 ? el('th', { scope: 'row' }, child) : el('td', {}, child));
    return el('tr', {}, ...cells);
  });
  const node = el('table', {}, el('thead', {}, head), el('tbody', {}, ...body));
  return el('div', { class: 'box', tabindex: 0, role: 'region', 'aria-label': label }, node);
}

/** @param {[string, unknown][]} entries */
export function definitions(entries) {
  const node = el('dl');
  for (const [key, value] of entries) {
    node.append(el('dt', {}, name(key)), el('dd', {}, name(cell(value))));
  }
  return node;
}
