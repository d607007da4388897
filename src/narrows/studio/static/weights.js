/** The linear head as a table one can walk through and edit; an edit is previewed before it is kept. */
import * as api from './api.js';
import { button, count, el, name, number, percent, select } from './dom.js';

const UNITS = 24;
const LABELS = 12;
const KINDS = [['prune', 'set to zero'], ['rescale', 'multiply by'], ['set', 'set to']];

/**
 * @param {Narrows.About} about
 * @param {Narrows.Weights|{reason: string}} found
 * @param {Narrows.Failed} failed
 * @returns {{node: HTMLElement, reload: () => void}}
 */
export function weightsView(about, found, failed) {
  const node = el('div', { class: 'weights' });
  if ('reason' in found && found.reason) {
    node.append(el('p', { class: 'quiet' }, name(found.reason)));
    return { node, reload: () => undefined };
  }
  const view = new Matrix(about, /** @type {Narrows.Weights} */ (found), failed, node);
  return { node, reload: () => void view.reload() };
}

class Matrix {
  /**
   * @param {Narrows.About} about
   * @param {Narrows.Weights} found
   * @param {Narrows.Failed} failed
   * @param {HTMLElement} node
   */
  constructor(about, found, failed, node) {
    this.about = about;
    this.found = found;
    this.failed = failed;
    /** @type {Narrows.Edit[]} not yet kept */
    this.draft = [];
    this.at = { unit: 0, label: 0 };
    this.turn = 0;
    this.grid = el('div', { class: 'box' });
    this.form = el('div', { class: 'edit' });
    this.kept = el('div');
    node.append(this.grid, this.form, this.kept);
    this.draw();
    if (about.can.edit) this.#form();
  }

  async reload() {
    try {
      this.found = await api.get(api.path(this.about.id, '/weights'));
      this.draw();
      if (this.draft.length > 0) void this.#preview();
    } catch (error) {
      this.failed(error);
    }
  }

  draw() {
    const { units, classes, matrix } = this.found;
    const top = Math.floor(this.at.unit / UNITS) * UNITS;
    const left = Math.floor(this.at.label / LABELS) * LABELS;
    const rows = units.slice(top, top + UNITS);
    const columns = classes.slice(left, left + LABELS);
    let most = 1e-12;
    for (const line of matrix) for (const w of line) most = Math.max(most, Math.abs(w ?? 0));
    const body = rows.map((unit, i) => el('tr', {}, el('th', { scope: 'row' }, name(unit)),
      ...columns.map((label, j) => this.#cell(top + i, left + j, unit, label, most))));
    const head = el('tr', {}, el('th', { scope: 'col' }, 'concept'),
      ...columns.map((label) => el('th', { scope: 'col' }, name(label))));
    const held = this.grid.contains(document.activeElement);
    this.grid.replaceChildren(
      el('table', { role: 'grid', 'aria-label': 'Weights', 'aria-rowcount': units.length + 1,
        'aria-colcount': classes.length + 1,
        keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) },
      el('thead', {}, head), el('tbody', {}, ...body)),
      el('p', { class: 'quiet pager' },
        ...this.#pager('concept', top, rows.length, units.length, UNITS, 'unit'),
        ...this.#pager('label', left, columns.length, classes.length, LABELS, 'label')));
    if (held) this.#focus();
    const { edits } = this.found;
    this.kept.replaceChildren(...(edits.length === 0 ? [] : [el('h3', {}, 'Kept edits'),
      el('ol', {}, ...edits.map((edit) => el('li', {}, ...told(edit))))]));
  }

  /**
   * @param {number} unit
   * @param {number} label
   * @param {string} unitName
   * @param {string} labelName
   * @param {number} most
   */
  #cell(unit, label, unitName, labelName, most) {
    const weight = this.found.matrix[label]?.[unit] ?? null;
    const level = Math.round((5 * (weight ?? 0)) / most);
    const drafted = this.draft.some((edit) => edit.unit === unitName
      && (edit.label === null || edit.label === labelName));
    const here = unit === this.at.unit && label === this.at.label;
    const shade = weight === 0 ? 'zero' : level === 0 ? '' : level > 0 ? `for${level}` : `against${-level}`;
    return el('td', { class: `${shade} ${drafted ? 'drafted' : ''}`, tabindex: here ? 0 : -1,
      'data-at': `${unit} ${label}`, click: () => this.#go(unit, label) }, number(weight));
  }

  /**
   * @param {string} word
   * @param {number} first
   * @param {number} shown
   * @param {number} all
   * @param {number} size
   * @param {'unit'|'label'} way
   */
  #pager(word, first, shown, all, size, way) {
    if (all <= size) return [el('span', {}, count(all, word))];
    const step = (/** @type {number} */ to) => () => {
      this.at = { ...this.at, [way]: to };
      this.draw();
    };
    return [el('span', {},
      button(`${word}s before`, step(first - size), { disabled: first === 0, class: 'plain' }, '‹'),
      ` ${word}s ${first + 1} to ${first + shown} of ${number(all)} `,
      button(`${word}s after`, step(first + size), { disabled: first + shown >= all, class: 'plain' }, '›'))];
  }

  /** @param {number} unit @param {number} label */
  #go(unit, label) {
    const { units, classes } = this.found;
    this.at = {
      unit: Math.max(0, Math.min(units.length - 1, unit)),
      label: Math.max(0, Math.min(classes.length - 1, label)),
    };
    this.draw();
    this.#focus();
    if (this.unit) this.unit.value = units[this.at.unit] ?? '';
    if (this.label) this.label.value = `=${classes[this.at.label] ?? ''}`;
  }

  #focus() {
    const cell = this.grid.querySelector(`[data-at="${this.at.unit} ${this.at.label}"]`);
    if (cell instanceof HTMLElement) cell.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { unit, label } = this.at;
    /** @type {Record<string, [number, number]>} */
    const moves = { ArrowUp: [unit - 1, label], ArrowDown: [unit + 1, label], ArrowLeft: [unit, label - 1],
      ArrowRight: [unit, label + 1], PageUp: [unit - UNITS, label], PageDown: [unit + UNITS, label],
      Home: [unit, 0], End: [unit, this.found.classes.length - 1] };
    const goal = moves[event.key];
    if (goal) this.#go(...goal);
    else if (event.key === 'Enter' && this.kind) {
      this.#go(unit, label);
      this.kind.focus();
    } else return;
    event.preventDefault();
  }

  #form() {
    const { units, classes } = this.found;
    this.unit = select('Concept', units.map((text) => [text, text]), units[0] ?? '', () => undefined);
    this.label = select('Label',
      [['', 'all labels'], ...classes.map((text) => [`=${text}`, text])], '', () => undefined);
    const value = el('input', { type: 'number', step: 'any', value: 0.5, hidden: true,
      'aria-label': 'Factor or value' });
    this.kind = select('Edit', KINDS, 'prune', (kind) => { value.hidden = kind === 'prune'; });
    this.drafts = el('div', { class: 'drafts', role: 'status' });
    const form = el('form', { class: 'bar', submit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const kind = this.kind?.value ?? 'prune';
      if (kind !== 'prune' && !Number.isFinite(value.valueAsNumber)) return;
      this.draft.push({ kind, unit: this.unit?.value ?? '',
        label: this.label?.value ? this.label.value.slice(1) : null,
        value: kind === 'prune' ? null : value.valueAsNumber });
      void this.#preview();
    } }, this.unit, el('span', { class: 'quiet' }, 'for'), this.label, this.kind, value, el('button', {}, 'Try it'));
    this.form.append(el('h3', {}, 'Edit the weights'),
      el('p', { class: 'note' }, 'An edit acts on every case. It is tried on the validation rows first; '
        + 'nothing is kept until you say so.'),
      form, this.drafts);
  }

  async #preview() {
    const turn = ++this.turn;
    this.draw();
    if (this.draft.length === 0) return this.drafts?.replaceChildren();
    try {
      /** @type {Narrows.Preview} */
      const seen = await api.post(api.path(this.about.id, '/edits/preview'), { edits: this.draft });
      if (turn === this.turn) this.#drafts(seen);
    } catch (error) {
      this.draft.pop();
      this.draw();
      this.failed(error);
    }
  }

  /** @param {Narrows.Preview} seen */
  #drafts(seen) {
    const better = (seen.after.accuracy ?? 0) - (seen.before.accuracy ?? 0);
    const points = `${better < 0 ? '−' : '+'}${Math.abs(100 * better).toFixed(1)} points`;
    this.drafts?.replaceChildren(
      el('ul', {}, ...this.draft.map((edit, i) => el('li', {}, ...told(edit), ' ',
        button('Take this edit out', () => {
          this.draft.splice(i, 1);
          void this.#preview();
        }, { class: 'plain' }, '×')))),
      el('p', { class: 'headline' }, `On ${count(seen.rows, 'validation row')}: right on `,
        `${percent(seen.before.accuracy, 1)} → `,
        el('b', { class: better < 0 ? 'wrong' : better > 0 ? 'right' : '' }, percent(seen.after.accuracy, 1)),
        ` (${points}). `,
        `${count(seen.changed, 'label changes', 'labels change')}.`),
      el('p', { class: 'act' }, button('Keep', () => void this.#keep(), { class: 'main' }),
        button('Discard', () => {
          this.draft = [];
          void this.#preview();
        })));
  }

  async #keep() {
    try {
      await api.post(api.path(this.about.id, '/edits'), { edits: this.draft });
      this.draft = [];
      this.drafts?.replaceChildren(el('p', { class: 'right' }, 'Kept. u takes it back.'));
      await this.reload();
    } catch (error) {
      this.failed(error);
    }
  }
}

/** @param {Narrows.Edit} edit */
function told(edit) {
  const kind = KINDS.find(([key]) => key === edit.kind)?.[1] ?? edit.kind;
  return [name(edit.unit), ' for ', edit.label === null ? 'all labels' : name(edit.label), `: ${kind}`,
    edit.value === null ? '' : ` ${number(edit.value)}`];
}
