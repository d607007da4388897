/** A case as the model gets it, whatever its kind, with the places that speak for a unit. */
import * as api from './api.js';
import { cell, el, name, svg, table } from './dom.js';
import { shade, sparkline } from './plot.js';


/**
 * @param {string} path below /api
 * @param {string} text said in its place
 * @param {(error: unknown) => void} [failed]
 */
export function image(path, text, failed = () => undefined) {
  const node = el('img', { alt: text, class: 'coming' });
  api.picture(path).then((url) => {
    node.src = url;
    node.addEventListener('load', () => {
      node.classList.remove('coming');
      node.classList.toggle('small', node.naturalWidth < 200);
    });
  }).catch(failed);
  return node;
}

/**
 * @param {string} base the case's path below /api
 * @param {Narrows.Case} data
 * @param {(error: unknown) => void} failed
 * @returns {{node: HTMLElement, show: (items: Narrows.EvidenceItem[], heat: string|null) => void}}
 */
export function inputView(base, data, failed) {
  const { input } = data;
  if (input.kind === 'image') return pictureView(base, input, failed);
  if (input.kind === 'sequence') return sequenceView(input);
  return { node: plainView(input), show: () => undefined };
}

/** @param {Narrows.Input} input */
function plainView(input) {
  if (input.kind === 'row') {
    const rows = input.cells.map(([key, value]) => [name(key), name(cell(value))]);
    return el('div', { class: 'input' }, table('The row', ['column', 'value'], rows),
      input.hidden ? el('p', { class: 'quiet' }, `${input.hidden} more are left out.`) : null);
  }
  if (input.kind === 'text') return el('blockquote', { class: 'input', dir: 'auto' }, input.text);
  return el('p', { class: 'input quiet' },
    'This kind of input has no picture. What the model read from it stands beside.');
}

/** @param {string} base @param {Narrows.ImageInput} input @param {(error: unknown) => void} failed */
function pictureView(base, input, failed) {
  const over = svg('svg', { viewBox: `0 0 ${input.width} ${input.height}`, 'aria-hidden': 'true' });
  const heat = el('img', { alt: '', class: 'heat', hidden: true });
  const node = el('div', { class: 'input picture' },
    image(`${base}/input.png`, 'The input of this case', failed), heat, over);
  return {
    node,
    /** @param {Narrows.EvidenceItem[]} items @param {string|null} url */
    show: (items, url) => {
      heat.hidden = url === null;
      if (url !== null) heat.src = url;
      else heat.removeAttribute('src');
      over.replaceChildren(...items.flatMap((item) => {
        if (!item.box) return [];
        const [x0, y0, x1, y1] = item.box;
        const box = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0),
          'vector-effect': 'non-scaling-stroke' };
        return [svg('rect', { ...box, class: 'under' }), svg('rect', box)];
      }));
    },
  };
}

/** @param {Narrows.SequenceInput} input */
function sequenceView(input) {
  const node = el('div', { class: 'input' });
  const draw = (/** @type {(number|null)[]|null} */ weight) => {
    node.replaceChildren(...input.series.map((series) => sparkline(series, weight)),
      el('p', { class: 'quiet' }, `${input.steps} steps`));
  };
  draw(null);
  return {
    node,
    /** @param {Narrows.EvidenceItem[]} items */
    show: (items) => draw(items.find((item) => item.values)?.values ?? null),
  };
}

/**
 * One piece of evidence beside the input.
 * @param {Narrows.EvidenceItem} item
 * @param {(error: unknown) => void} failed
 */
export function evidenceView(item, failed) {
  const node = el('figure', { class: 'evidence' });
  if (item.image) node.append(image(item.image, item.title, failed));
  if (item.values) {
    node.append(svg('svg', { viewBox: `0 0 ${item.values.length} 4`, preserveAspectRatio: 'none',
      class: 'strip', role: 'img', 'aria-label': item.title }, shade(item.values, item.values.length, 4)));
  }
  if (item.text) node.append(el('p', {}, name(item.text)));
  const where = item.box && !item.image ? ', framed in the picture' : '';
  node.append(el('figcaption', {}, name(item.title), where));
  return node;
}
