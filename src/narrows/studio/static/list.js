/** A long list that only ever builds the rows in sight, and asks for the parts it lacks. */
import { el, number } from './dom.js';

const PART = 100;
const SPARE = 8;
let lists = 0;

/**
 * @template T
 * @typedef {object} Source
 * @property {string} label spoken name of the list
 * @property {string} kind class that lays out its columns
 * @property {string[]} columns
 * @property {(offset: number, limit: number, signal: AbortSignal) => Promise<{total: number, items: T[]}>} load
 * @property {(item: T, index: number) => import('./dom.js').Child[]} cells one child a column
 * @property {(item: T, index: number) => string|null} href where Enter and a click lead
 * @property {(item: T) => string} [tint] a class of the row
 * @property {(total: number) => void} [counted]
 * @property {string} empty said when there is nothing
 * @property {(error: unknown) => void} failed
 */

/** @template T */
export class LongList {
  /** @param {Source<T>} source */
  constructor(source) {
    this.source = source;
    this.id = `list-${++lists}`;
    this.total = -1;
    this.active = 0;
    /** @type {Map<number, T[]|null>} null while a part is on its way */
    this.parts = new Map();
    this.stop = new AbortController();
    this.rows = el('div', { class: 'rows', role: 'rowgroup' });
    const heads = source.columns.map((text) => el('span', { role: 'columnheader' }, text));
    const head = el('div', { class: 'row head', role: 'row', 'aria-rowindex': 1 }, ...heads);
    this.node = el('div', {
      class: `list ${source.kind}`, role: 'grid', tabindex: 0, 'aria-label': source.label,
      'aria-colcount': source.columns.length,
      scroll: () => this.#soon(), keydown: (/** @type {KeyboardEvent} */ e) => this.#key(e),
    }, el('div', { role: 'rowgroup', class: 'top' }, head), this.rows);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.node);
  }

  /** Ask anew, as after a change of the filter or of the corrections.
   * @param {{top?: number, active?: number}} [seen] where the person was
   */
  async reload(seen = {}) {
    this.stop.abort();
    this.stop = new AbortController();
    this.parts.clear();
    this.active = seen.active ?? 0;
    await this.#fetch(Math.floor(this.active / PART));
    if (seen.top !== undefined) this.node.scrollTop = seen.top;
  }

  close() {
    this.stop.abort();
    this.resized.disconnect();
  }

  /** @param {number} part */
  async #fetch(part) {
    const { signal } = this.stop;
    this.parts.set(part, null);
    try {
      const found = await this.source.load(part * PART, PART, signal);
      if (signal.aborted) return;
      this.parts.set(part, found.items);
      if (found.total !== this.total) this.source.counted?.(found.total);
      this.total = found.total;
      this.active = Math.max(0, Math.min(this.active, found.total - 1));
      this.draw();
    } catch (error) {
      if (signal.aborted) return;
      this.parts.delete(part);
      this.source.failed(error);
    }
  }

  /** @param {number} index */
  item(index) {
    return this.parts.get(Math.floor(index / PART))?.[index % PART];
  }

  #soon() {
    cancelAnimationFrame(this.frame ?? 0);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  get height() {
    return parseFloat(getComputedStyle(this.node).getPropertyValue('--row')) || 36;
  }

  draw() {
    if (this.total < 0) return;
    const { height } = this;
    const first = Math.max(0, Math.floor(this.node.scrollTop / height) - SPARE);
    const inSight = Math.ceil(this.node.clientHeight / height) + 2 * SPARE;
    const last = Math.min(this.total, first + inSight);
    this.node.setAttribute('aria-rowcount', String(this.total + 1));
    this.rows.style.height = `${Math.max(this.total, this.total === 0 ? 2 : 0) * height}px`;
    const built = [];
    for (let i = first; i < last; i++) built.push(this.#row(i, i * height));
    if (this.total === 0) built.push(this.#nothing());
    this.rows.replaceChildren(...built);
    this.#point();
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.#missing(first, last), 40);
  }

  /** @param {number} first @param {number} last */
  #missing(first, last) {
    for (let part = Math.floor(first / PART); part * PART < last; part++) {
      if (!this.parts.has(part)) void this.#fetch(part);
    }
  }

  #nothing() {
    const cell = el('span', { role: 'gridcell', class: 'nothing' }, this.source.empty);
    return el('div', { class: 'row bare', role: 'row', 'aria-rowindex': 2 }, cell);
  }

  /** @param {number} index @param {number} top */
  #row(index, top) {
    const item = this.item(index);
    const { source } = this;
    const row = el('div', {
      class: `row ${item ? (source.tint?.(item) ?? '') : 'coming'}`, role: 'row',
      id: `${this.id}-${index}`, 'aria-rowindex': index + 2,
      click: (/** @type {MouseEvent} */ e) => this.#click(index, e),
    });
    row.style.top = `${top}px`;
    row.classList.toggle('active', index === this.active);
    row.setAttribute('aria-selected', String(index === this.active));
    const cells = item ? source.cells(item, index) : source.columns.map((_, i) => (i ? '' : '…'));
    cells.forEach((cell, i) => row.append(el('span', { role: 'gridcell', 'data-head': source.columns[i] }, cell)));
    return row;
  }

  #point() {
    const shown = document.getElementById(`${this.id}-${this.active}`);
    if (this.total > 0) this.node.setAttribute('aria-activedescendant', `${this.id}-${this.active}`);
    if (!shown) this.node.removeAttribute('aria-activedescendant');
  }

  /** @param {number} index @param {MouseEvent} event */
  #click(index, event) {
    this.active = index;
    const inner = event.target instanceof Element && event.target.closest('a, button');
    if (!inner) this.#open();
  }

  #open() {
    const item = this.item(this.active);
    const href = item && this.source.href(item, this.active);
    if (href) location.hash = href;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target !== this.node) return;
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.height) - 2);
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -this.total, End: this.total };
    const step = steps[event.key];
    if (event.key === 'Enter') this.#open();
    else if (step === undefined) return;
    else this.move(this.active + step);
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} index */
  move(index) {
    this.active = Math.max(0, Math.min(index, this.total - 1));
    const { height } = this;
    const top = this.active * height;
    const head = this.rows.offsetTop;
    const room = this.node.clientHeight - head;
    if (top < this.node.scrollTop) this.node.scrollTop = top;
    else if (top + height > this.node.scrollTop + room) this.node.scrollTop = top + height - room;
    this.draw();
  }
}

/** A share as a thin bar with its number. @param {number|null} share @param {string} text */
export function shareBar(share, text) {
  const full = el('i', { class: 'fill' });
  full.style.width = `${100 * Math.max(0, Math.min(1, share ?? 0))}%`;
  return el('span', { class: 'share' }, el('i', { class: 'track', 'aria-hidden': 'true' }, full),
    el('span', { class: 'n' }, text));
}

/** @param {number} total @param {string} word */
export function counted(total, word) {
  return total === 1 ? `1 ${word}` : `${number(total)} ${word}s`;
}
